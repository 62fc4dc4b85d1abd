"""A training step as one CUDA graph: recorded once, then replayed with a single launch."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections.abc import Callable
from typing import Protocol

import torch

WARM_UP_STEPS = 3
"""Steps before the capture; PyTorch asks for a few, so that libraries and the allocator have settled."""

Work = Callable[[], None]


class Recorder(Protocol):
    """What can record a step on a device."""

    def warm_up(self, work: Work, watched: bool) -> str | None:
        """Do the work as it is; if watched, tell what keeps it from being recorded, where that can be seen."""

    def record(self, work: Work) -> Work:
        """Record the work, which is not done thereby, and return what replays it."""


class CapturedStep:
    """Does a step as it is a few times, then records it, and from then on replays the record.

    Steps that warm up are steps of the training, so the k-th call does the k-th update whether it is replayed or not.
    A step that cannot be recorded is done as it is for good, and one warning says why.

    Args:
        work: the step; it reads and writes the same memory in every call.
        recorder: records it.
        name: what the warning calls the step's encoder.
    """

    def __init__(self, work: Work, recorder: Recorder, name: str) -> None:
        self._work, self._recorder, self._name = work, recorder, name
        self._replay: Work | None = None
        self._given_up = False
        self._done = 0

    @property
    def recorded(self) -> bool:
        """Whether calls are replays by now."""
        return self._replay is not None

    def __call__(self) -> None:
        """Do the step."""
        if self._replay is None and not self._given_up and self._done >= WARM_UP_STEPS:
            self._record()
        if self._replay is not None:
            self._replay()
        elif self._given_up:
            self._work()
        else:
            self._done += 1
            if reason := self._recorder.warm_up(self._work, watched=self._done == WARM_UP_STEPS):
                self._give_up(reason)

    def forget(self) -> None:
        """Drop the record, since memory it refers to was replaced; it is made anew after another warm-up."""
        self._replay, self._done = None, 0

    def _record(self) -> None:
        try:
            self._replay = self._recorder.record(self._work)
        except Exception as error:
            # Anyone's encoder runs here, and the capture fails with whatever it raises.
            self._give_up(str(error.__context__ or error))

    def _give_up(self, reason: str) -> None:
        self._given_up = True
        first_line = (reason.strip() or "no reason given").splitlines()[0]
        warnings.warn(
            f"The training step of the encoder {self._name} cannot be captured as a CUDA graph and goes on more "
            f"slowly without: {first_line}",
            RuntimeWarning,
            stacklevel=3,
        )


class CudaRecorder:
    """Records on a CUDA device, on a stream of its own."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, work: Work, watched: bool) -> str | None:
        """Do the work on the recorder's stream.

        Returns:
            If watched: what of it made the host wait for the device, which a graph cannot do. None if nothing did.
        """
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            if watched:
                waits = _waits_for_device(work)
            else:
                waits = 0
                work()
        current.wait_stream(self._stream)
        return f"it makes the host wait for the device, {waits} times in a step" if waits else None

    def record(self, work: Work) -> Work:
        """Capture the work as a graph.

        Raises:
            RuntimeError: it does what a graph cannot hold.
        """
        # What is collected during a capture may free memory of the device, which breaks it.
        gc.collect()
        graph = torch.cuda.CUDAGraph()
        try:
            self._capture(graph, work)
        except Exception:
            # Until a capture succeeds, PyTorch may take it that one is underway and refuse to draw random numbers.
            with contextlib.suppress(RuntimeError):
                self._capture(torch.cuda.CUDAGraph(), lambda: torch.zeros(1, device=self._device))
            raise
        return graph.replay

    def _capture(self, graph: torch.cuda.CUDAGraph, work: Callable[[], object]) -> None:
        # The outer context brings the stream of the caller back where the capture fails.
        with torch.cuda.stream(self._stream), torch.cuda.graph(graph, stream=self._stream):
            work()


def _waits_for_device(work: Work) -> int:
    """Do the work, and count how often it makes the host wait for the device, as far as PyTorch can tell."""
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # PyTorch warns that this mode is a prototype, which tells nothing of the work.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    waits = [one for one in noticed if "synchronizing CUDA operation" in str(one.message)]
    for one in noticed:
        if one not in waits:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return len(waits)
