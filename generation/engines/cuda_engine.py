"""The CUDA engine: whole populations per launch, one model per program, in Triton."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from rnnzoo.generation.engines.interface import EngineUnavailable, Progress, Snapshot
from rnnzoo.generation.engines.triton_options import LARGEST_HIDDEN, KernelOptions
from rnnzoo.generation.population import Population

PROGRESS_EVERY = 250


class CudaEngine:
    """Trains with the Triton kernels on an NVIDIA GPU.

    Args:
        precision: how the kernels multiply, one of `triton_options.PRECISIONS`; the default keeps float32 accuracy.
        device: the GPU; "cpu" runs the kernels in Triton's interpreter, for tests (TRITON_INTERPRET=1).
        options: tuning of the kernels; overrides `precision`.

    Raises:
        EngineUnavailable: Triton is missing, or there is no GPU.
    """

    name = "cuda"
    threads = None

    def __init__(self, precision: str = "tf32x3", device: str = "cuda", options: KernelOptions | None = None) -> None:
        if importlib.util.find_spec("triton") is None:
            raise EngineUnavailable("triton is not installed (pip install triton).")
        if device != "cpu" and not torch.cuda.is_available():
            raise EngineUnavailable("there is no NVIDIA GPU that PyTorch can use.")
        self.options = options or KernelOptions(precision=precision)
        self.device = torch.device(device)

    def describe_device(self) -> str:
        """The GPU's name."""
        return "Triton interpreter" if self.device.type == "cpu" else torch.cuda.get_device_name(self.device)

    def compilation_needed(self) -> bool:
        """Triton compiles its kernels at the first use of a size and keeps them on disk; it does not say which."""
        return True

    def refusal(self, population: Population) -> str | None:
        """Networks whose gates do not fit a tile are refused."""
        network = population.network
        for value, name in (
            (network.hidden_size, "hidden_size"),
            (network.input_size, "input_size"),
            (network.output_size, "output_size"),
        ):
            if value > LARGEST_HIDDEN:
                return f"the CUDA kernels hold at most {LARGEST_HIDDEN} values per gate, and {name} is {value}."
        return None

    def train(self, population: Population, progress: Progress) -> Iterator[Snapshot]:
        """See `Engine.train`."""
        from rnnzoo.generation.engines.triton_plan import row_classes, select
        from rnnzoo.generation.engines.triton_population import TritonPopulation

        places = row_classes(population)
        use_graph = self.device.type == "cuda"
        parts = [TritonPopulation(select(population, place), self.device, use_graph, self.options) for place in places]
        done = 0
        for step in population.snapshots:
            while done < step:
                done = min(step, (done // PROGRESS_EVERY + 1) * PROGRESS_EVERY)
                for part in parts:
                    part.advance(done)
                losses = np.concatenate([part.losses() for part in parts])
                finite = losses[np.isfinite(losses)]
                progress(done, float(finite.mean()) if len(finite) else float("nan"))
            weights = np.empty((len(population), population.network.parameter_count), dtype=np.float32)
            for place, part in zip(places, parts, strict=True):
                weights[place] = part.weights()
            yield Snapshot(step, weights)

    def sample_rollouts(
        self, population: Population, snapshot: Snapshot, rollouts: int, recorded: int, length: int, start: int
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        """See `Engine.sample_rollouts`."""
        from rnnzoo.generation.engines.triton_inference import sample_rollouts

        return sample_rollouts(population, snapshot, rollouts, recorded, length, start, self.device, self.options)

    def predict(self, population: Population, snapshot: Snapshot, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.predict`."""
        from rnnzoo.generation.engines.triton_inference import predict

        return predict(population, snapshot, inputs, self.device, self.options)

    def classify(
        self, population: Population, snapshot: Snapshot, images: NDArray[np.int32], recorded: int
    ) -> tuple[NDArray[np.float32], NDArray[np.uint8], NDArray[np.float32]]:
        """See `Engine.classify`."""
        from rnnzoo.generation.engines.triton_inference import classify

        return classify(population, snapshot, images, recorded, self.device, self.options)
