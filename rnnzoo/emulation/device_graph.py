"""Running ahead of a CUDA device, which replays the update as a graph; each loss is read when it is there."""

from __future__ import annotations

import contextlib
import gc
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from rnnzoo.encoders.protocol import Encoder, not_finite

STEPS_AHEAD = 16
"""Updates that a device may have been given and not yet done."""

WARM_UP_STEPS = 3
"""Steps before the capture; PyTorch asks for a few, so that libraries and the allocator have settled."""

Step = Callable[[], None]


class _UnderWay(NamedTuple):
    """Memory of the host for one update under way, which the device can copy from and to without the host's help."""

    drawn: tuple[Tensor, ...]
    outcome: Tensor
    done: torch.cuda.Event


class RunAhead:
    """Gives a device one update after the other, before the losses of earlier ones are known.

    Every update reads its draw from the same memory of the device and leaves its outcome in the same, so that a record
    of one update does all others.

    Args:
        encoder: the one that is trained.
        draw: what tells an update from others, by step: tensors on the host, always of the same shapes and dtypes.
        update: does an update from such tensors on the device, given False without a look at what is computed; returns
            the loss, a scalar, and z, [M, z_size].
        device: where.
        recorder: records the update; None does every update as it is.

    Attributes:
        outcome: float32 [2], the loss and the number of networks whose z was not finite.
        captured: the update with its record, if there is a recorder.
    """

    def __init__(
        self,
        encoder: Encoder,
        draw: Callable[[int], tuple[Tensor, ...]],
        update: Callable[[tuple[Tensor, ...], bool], tuple[Tensor, Tensor]],
        device: torch.device,
        recorder: CudaRecorder | None,
    ) -> None:
        self._encoder, self._draw, self._update, self._device = encoder, draw, update, device
        pinned = device.type == "cuda"
        first = draw(0)
        self._drawn = tuple(torch.zeros_like(tensor, device=device) for tensor in first)
        self.outcome = torch.zeros(2, device=device)
        self._free = deque(
            _UnderWay(
                tuple(torch.zeros(tensor.shape, dtype=tensor.dtype, pin_memory=pinned) for tensor in first),
                torch.zeros(2, pin_memory=pinned),
                torch.cuda.Event(blocking=True),
            )
            for _ in range(STEPS_AHEAD)
        )
        self._under_way: deque[_UnderWay] = deque()
        self.captured = CapturedStep(self.step, recorder, type(encoder).__name__) if recorder else None

    def losses(self, told: int, until: int) -> Iterator[float]:
        """Do updates up to a total; the losses of all that are not told yet, in order.

        Args:
            told: updates whose losses earlier calls have told.
            until: total updates; fewer than are under way already only waits for these.

        Raises:
            RnnzooError: z was not finite. That update stays under way, so that what it made of the weights is not
                saved either: the next call raises again.
        """
        for step in range(told + len(self._under_way), until):
            if not self._free:
                yield self._finish_oldest()
            self._start(step)
        while self._under_way:
            yield self._finish_oldest()

    def step(self) -> None:
        """Do the update whose draw lies in the memory of the device."""
        loss, z = self._update(self._drawn, False)
        self.outcome[0].copy_(loss)
        # Scaled to unit length, an answer that was not finite is not finite either.
        self.outcome[1].copy_((~torch.isfinite(z)).any(dim=1).sum())

    def forget(self) -> None:
        """Wait for the updates under way and drop them and the record: weights or moments are replaced."""
        while self._under_way:
            self._under_way[0].done.synchronize()
            self._free.append(self._under_way.popleft())
        if self.captured is not None:
            self.captured.forget()

    def _start(self, step: int) -> None:
        place = self._free[0]
        for tensor, pinned, drawn in zip(self._draw(step), place.drawn, self._drawn, strict=True):
            drawn.copy_(pinned.copy_(tensor), non_blocking=True)
        (self.captured or self.step)()
        place.outcome.copy_(self.outcome, non_blocking=True)
        place.done.record(torch.cuda.current_stream(self._device))
        self._under_way.append(self._free.popleft())

    def _finish_oldest(self) -> float:
        oldest = self._under_way[0]
        oldest.done.synchronize()
        loss, unsound = oldest.outcome.tolist()
        if unsound:
            raise not_finite(self._encoder, int(unsound), len(oldest.drawn[0]))
        self._free.append(self._under_way.popleft())
        return loss


class CapturedStep:
    """Does a step as it is a few times, then records it, and from then on replays the record.

    Steps that warm up are steps of the training, so the k-th call does the k-th update whether it is replayed or not.
    A step that cannot be recorded is done as it is for good, and one warning says why.

    Args:
        step: what is done; it reads and writes the same memory in every call.
        recorder: records it.
        name: what the warning calls the step's encoder.

    Attributes:
        replay: the record, once there is one.
    """

    def __init__(self, step: Step, recorder: CudaRecorder, name: str) -> None:
        self._step, self._recorder, self._name = step, recorder, name
        self.replay: Step | None = None
        self._given_up, self._done = False, 0

    def __call__(self) -> None:
        """Do the step."""
        if self.replay is not None:
            self.replay()
        elif self._given_up:
            self._step()
        elif self._done < WARM_UP_STEPS:
            self._done += 1
            if reason := self._recorder.warm_up(self._step, watched=self._done == WARM_UP_STEPS):
                self._give_up(reason)
        else:
            try:
                self.replay = self._recorder.record(self._step)
            except Exception as error:
                # Anyone's encoder runs here, and the capture fails with whatever it raises.
                self._give_up(str(error.__context__ or error))
            self()

    def forget(self) -> None:
        """Drop the record, since memory it refers to was replaced; it is made anew after another warm-up."""
        self.replay, self._done = None, 0

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

    def warm_up(self, step: Step, watched: bool) -> str | None:
        """Do the step on the recorder's stream.

        Returns:
            If watched: what of it made the host wait for the device, which a graph cannot do. None if nothing did.
        """
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        waits = 0
        with torch.cuda.stream(self._stream):
            if watched:
                waits = _waits_for_device(step)
            else:
                step()
        current.wait_stream(self._stream)
        return f"it makes the host wait for the device, {waits} times in a step" if waits else None

    def record(self, step: Step) -> Step:
        """Capture the step as a graph.

        Raises:
            RuntimeError: it does what a graph cannot hold.
        """
        # What is collected during a capture may free memory of the device, which breaks it.
        gc.collect()
        graph = torch.cuda.CUDAGraph()
        try:
            self._capture(graph, step)
        except Exception:
            # Until a capture succeeds, PyTorch may take it that one is underway and refuse to draw random numbers.
            with contextlib.suppress(RuntimeError):
                self._capture(torch.cuda.CUDAGraph(), lambda: torch.zeros(1, device=self._device))
            raise
        return graph.replay

    def _capture(self, graph: torch.cuda.CUDAGraph, step: Callable[[], object]) -> None:
        # The outer context brings the stream of the caller back where the capture fails.
        with torch.cuda.stream(self._stream), torch.cuda.graph(graph, stream=self._stream):
            step()


def _waits_for_device(step: Step) -> int:
    """Do the step, and count how often it makes the host wait for the device, as far as PyTorch can tell."""
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings():
        # PyTorch warns that this mode is a prototype, which tells nothing of the step.
        warnings.simplefilter("ignore")
        torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    waits = [one for one in noticed if "synchronizing CUDA operation" in str(one.message)]
    for one in noticed:
        if one not in waits:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return len(waits)
