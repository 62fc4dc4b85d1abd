"""A population in device memory: examples, weights, optimizer state, and the workspace that launches share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rnnzoo.generation.engines import triton_options as options_of
from rnnzoo.generation.engines.triton_options import KernelOptions, padded
from rnnzoo.generation.engines.triton_plan import update_schedule
from rnnzoo.generation.population import NO_TARGET, Population, TokenExamples

WORKSPACE_BYTES = 16 * 2**30
MODELS_PER_LAUNCH = 16


@dataclasses.dataclass
class Slot:
    """The tensors of the models that one round of launches trains: views of a population, and shared workspace."""

    models: int
    model_ids: Tensor
    counts: Tensor
    live: Tensor
    weight_decay: Tensor
    weights: Tensor
    gradients: Tensor
    first_moments: Tensor
    second_moments: Tensor
    table: Tensor
    targets: Tensor
    wanted: Tensor
    source_pixels: Tensor
    source: Tensor
    weight: Tensor
    losses: Tensor


class PopulationMemory:
    """The tensors of models whose batches have the same number of padded rows.

    Args:
        population: the models; every one with the same `padded` number of rows (`row_classes`).
        device: where the tensors live; "cpu" works in Triton's interpreter only.
        options: tuning of the kernels.
        workspace_bytes: memory for activations; more models than fit are trained in rounds.

    `step`, int32 [1] on the device, is the update that comes next; it decides the batch and the learning rate.
    """

    def __init__(
        self,
        population: Population,
        device: torch.device | str,
        options: KernelOptions | None = None,
        workspace_bytes: int = WORKSPACE_BYTES,
    ) -> None:
        self.population = population
        self.device = torch.device(device)
        self.options = options or KernelOptions()
        network, examples = population.network, population.examples
        self.tokens = isinstance(examples, TokenExamples)
        self.units = padded(network.hidden_size)
        self.columns = padded(network.input_size)
        self.stride = options_of.weight_stride(network)
        self.offsets = options_of.layer_offsets(network)
        self._place_examples()
        models = len(population)
        self._seed = self._put(np.array([population.seed], dtype=np.uint64).view(np.int64))
        self.step = torch.zeros(1, dtype=torch.int32, device=self.device)
        self._schedule = self._put(update_schedule(population))
        self._weights = self._zeros(models, self.stride)
        self._weights[:, : network.parameter_count] = self._put(population.initial_weights())
        self._gradients, self._first, self._second = (torch.zeros_like(self._weights) for _ in range(3))
        self._source = self._zeros(models, self.rows, dtype=torch.int32)
        self._weight = self._zeros(models, self.rows)
        self._losses = self._zeros(models)
        self._model_ids = self._put(population.model_ids.astype(np.uint32).view(np.int32))
        self._weight_decay = self._put(population.weight_decay.astype(np.float32))
        self._place_workspace(workspace_bytes)

    def weights(self) -> NDArray[np.float32]:
        """The current weights, float32 [M, P], copied to the host."""
        return self._weights[:, : self.population.network.parameter_count].cpu().numpy().copy()

    def losses(self) -> NDArray[np.float32]:
        """Each model's loss on its last batch, float32 [M]."""
        return self._losses.cpu().numpy()

    def gradients(self) -> NDArray[np.float32]:
        """The gradients of the last update, float32 [M, P]."""
        return self._gradients[:, : self.population.network.parameter_count].cpu().numpy().copy()

    def batch_rows(self) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The last batch: which example each row holds, and its weight, both [M, rows]."""
        return self._source.cpu().numpy(), self._weight.cpu().numpy()

    def slots(self) -> Iterator[Slot]:
        """The rounds of launches that make up one update."""
        for first in range(0, len(self.population), self._models_per_round):
            part = slice(first, min(first + self._models_per_round, len(self.population)))
            yield Slot(
                part.stop - part.start,
                self._model_ids[part],
                self._counts[part],
                self._live[part],
                self._weight_decay[part],
                self._weights[part],
                self._gradients[part],
                self._first[part],
                self._second[part],
                self._table[part],
                self._targets[part],
                self._wanted[part],
                self._source_pixels[part],
                self._source[part],
                self._weight[part],
                self._losses[part],
            )

    def _place_examples(self) -> None:
        """Put the training data on the device; kernels that lack a kind of data get a placeholder of its type."""
        examples, batch = self.population.examples, self.population.protocol.batch_size
        models = len(self.population)
        self._table = self._zeros(models, 1, 1, dtype=torch.uint8)
        self._targets = self._zeros(models, 1, 1, dtype=torch.int16)
        self._wanted = self._zeros(models, 1, dtype=torch.int32)
        self._labels = self._zeros(1, dtype=torch.uint8)
        self._source_pixels = self._zeros(models, 1, 1, dtype=torch.int16)
        if isinstance(examples, TokenExamples):
            counts = examples.counts.astype(np.int32)
            self._table = self._put(examples.inputs)
            self._targets = self._put(examples.targets)
            self._wanted = self._put(np.count_nonzero(examples.targets != NO_TARGET, axis=2).astype(np.int32))
            self.positions = examples.inputs.shape[2]
            self.distinct = options_of.draws_distinct(self.population, int(counts.max()))
            self._drawable = torch.arange(examples.inputs.shape[1], dtype=torch.int32, device=self.device)
        else:
            counts = np.full(models, len(examples.drawable), dtype=np.int32)
            self._images = self._put(examples.images.reshape(len(examples.images), -1))
            self._labels = self._put(examples.labels)
            self._values = self._put(examples.values)
            self._source_pixels = self._put(examples.sources)
            self._drawable = self._put(examples.drawable.astype(np.int32))
            self.positions = examples.sources.shape[1] + 1
            self.distinct = False
        live = counts if self.distinct else np.full(models, batch, dtype=np.int32)
        self.rows = padded(int(live.max()))
        self._counts, self._live = self._put(counts), self._put(live)

    def _place_workspace(self, workspace_bytes: int) -> None:
        """Activations of as many models as one round of launches trains, shared by all rounds."""
        network = self.population.network
        tile = self.positions * self.rows * self.units
        inputs = 0 if self.tokens else self.positions * self.rows * self.columns
        per_model = 4 * (tile * (6 * network.layers + 1) + inputs)
        fitting = workspace_bytes // per_model // MODELS_PER_LAUNCH * MODELS_PER_LAUNCH
        self._models_per_round = min(len(self.population), max(MODELS_PER_LAUNCH, fitting))
        models = self._models_per_round
        shape = (models, self.positions, self.rows, self.units)
        self._resident = options_of.resident(network)
        self._warp_factor = 2 if self.units > 64 else 1
        self._gates = [self._empty(models, 4, *shape[1:]) for _ in range(network.layers)]
        self._cells = [self._empty(*shape) for _ in range(network.layers)]
        self._outputs = [self._empty(*shape) for _ in range(network.layers)]
        self._output_gradients = self._empty(*shape)
        self._inputs = self._empty(1) if self.tokens else self._empty(models, self.positions, self.rows, self.columns)

    def _layer_inputs(self, slot: Slot, layer: int) -> tuple[Tensor, Tensor]:
        """What a layer reads: dense inputs, and the table of tokens that replaces them in the first layer."""
        return (self._inputs if layer == 0 else self._outputs[layer - 1]), slot.table

    def _layer_sizes(self, layer: int) -> dict[str, int | str | bool]:
        network = self.population.network
        return {
            "stride": self.stride,
            "hidden": network.hidden_size,
            "width": network.input_size if layer == 0 else network.hidden_size,
            "units": self.units,
            "columns": self.columns if layer == 0 else self.units,
            "rows": self.rows,
            "positions": self.positions,
            "precision": self.options.precision,
            "examples": self._table.shape[1],
            "tokens": self.tokens and layer == 0,
        }

    def _put(self, array: NDArray) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)

    def _zeros(self, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.zeros(shape, dtype=dtype, device=self.device)

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, dtype=torch.float32, device=self.device)
