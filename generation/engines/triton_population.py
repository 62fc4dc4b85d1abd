"""The kernel launches of one optimizer update of a population."""

from __future__ import annotations

from typing import Any

import torch
import triton

from rnnzoo.generation.engines.triton_kernels.adamw import adamw
from rnnzoo.generation.engines.triton_kernels.batch_draw import draw_distinct, draw_each
from rnnzoo.generation.engines.triton_kernels.input_gradient import input_gradient
from rnnzoo.generation.engines.triton_kernels.layer_backward import layer_backward
from rnnzoo.generation.engines.triton_kernels.layer_forward import layer_forward
from rnnzoo.generation.engines.triton_kernels.read_out import read_out_and_loss
from rnnzoo.generation.engines.triton_kernels.tile_inputs import gather_tiles
from rnnzoo.generation.engines.triton_kernels.weight_gradients import weight_gradients
from rnnzoo.generation.engines.triton_memory import WORKSPACE_BYTES, PopulationMemory, Slot
from rnnzoo.generation.engines.triton_options import CHUNK, ROWS, KernelOptions, padded
from rnnzoo.generation.population import Population
from rnnzoo.generation.randomness import Purpose

BLOCK = 1024
INPUT_GRADIENT_TILE = 2048
"""Rows times units that a program of the input gradient holds at most."""


class TritonPopulation(PopulationMemory):
    """Trains the models of a `PopulationMemory`.

    Args:
        population, device, options, workspace_bytes: see `PopulationMemory`.
        use_graph: replay an update as a CUDA graph.
    """

    def __init__(
        self,
        population: Population,
        device: torch.device | str,
        use_graph: bool,
        options: KernelOptions | None = None,
        workspace_bytes: int = WORKSPACE_BYTES,
    ) -> None:
        super().__init__(population, device, options, workspace_bytes)
        self.use_graph = use_graph
        self.steps_done = 0
        self._graph: torch.cuda.CUDAGraph | None = None

    def advance(self, step: int) -> None:
        """Train until `step` updates have been done."""
        while self.steps_done < step:
            if self._graph is not None:
                self._graph.replay()
            else:
                self.update()
                if self.use_graph:
                    self._capture()
            self.steps_done += 1

    def update(self) -> None:
        """Launch the kernels of one optimizer update."""
        for slot in self.slots():
            self.draw(slot)
            self.forward(slot)
            self.read_out(slot)
            self.backward(slot)
            self.optimize(slot)
        self.step += 1

    def draw(self, slot: Slot) -> None:
        """Draw the batches, and look up the inputs of image models."""
        batch = self.population.protocol.batch_size
        shared = {
            "purpose": int(Purpose.BATCH),
            "batch": batch,
            "blocks": triton.next_power_of_2(triton.cdiv(max(batch, self.rows), 4)),
            "rows": self.rows,
        }
        grid = (slot.models,)
        place = (self._seed, self.step, slot.model_ids, slot.counts)
        if self.distinct:
            draw_distinct[grid](*place, slot.source, slot.weight, **shared)
        else:
            draw_each[grid](*place, self._drawable, slot.source, slot.weight, **shared)
        if not self.tokens:
            gather_tiles[(slot.models, self.positions)](
                self._images,
                self._values,
                slot.source_pixels,
                slot.source,
                slot.live,
                self._inputs,
                positions=self.positions,
                pixels=self._images.shape[1],
                width=self.population.network.input_size,
                rows=self.rows,
                columns=self.columns,
            )

    def forward(self, slot: Slot) -> None:
        """Run all layers through time."""
        for layer in range(self.population.network.layers):
            layer_forward[(slot.models, self.rows // ROWS)](
                slot.weights,
                *self._layer_inputs(slot, layer),
                slot.source,
                slot.live,
                self._gates[layer],
                self._cells[layer],
                self._outputs[layer],
                offset=self.offsets[layer],
                resident=self._resident,
                num_warps=self.options.forward_warps * self._warp_factor,
                num_stages=self.options.forward_stages if self._resident else 1,
                **self._layer_sizes(layer),
            )

    def read_out(self, slot: Slot) -> None:
        """Losses, and the gradients of the read-out and of the top layer's outputs."""
        network = self.population.network
        read_out_and_loss[(slot.models,)](
            slot.weights,
            self._outputs[-1],
            slot.targets,
            slot.wanted,
            self._labels,
            slot.source,
            slot.weight,
            slot.live,
            slot.gradients,
            self._output_gradients,
            slot.losses,
            stride=self.stride,
            offset=self.offsets[-1],
            hidden=network.hidden_size,
            outcomes=network.output_size,
            units=self.units,
            columns=padded(network.output_size),
            rows=self.rows,
            positions=self.positions,
            chunk=CHUNK,
            precision=self.options.precision,
            num_warps=self.options.read_out_warps,
            num_stages=1,
            tokens=self.tokens,
            examples=self._table.shape[1],
            batch=self.population.protocol.batch_size,
        )

    def backward(self, slot: Slot) -> None:
        """Gradients of all layers, top to bottom."""
        network = self.population.network
        for layer in reversed(range(network.layers)):
            width = network.input_size if layer == 0 else network.hidden_size
            shared: dict[str, Any] = {"stride": self.stride, "hidden": network.hidden_size, "units": self.units}
            shared |= {"rows": self.rows, "positions": self.positions, "precision": self.options.precision}
            layer_backward[(slot.models, self.rows // ROWS)](
                slot.weights,
                slot.live,
                self._gates[layer],
                self._cells[layer],
                self._output_gradients,
                recurrent_offset=self.offsets[layer] + 4 * network.hidden_size * width,
                resident=self._resident,
                num_warps=self.options.backward_warps * self._warp_factor,
                num_stages=self.options.backward_stages if self._resident else 1,
                **shared,
            )
            block = min(self.units, CHUNK)
            weight_gradients[(4 * self.units // block, slot.models)](
                *self._layer_inputs(slot, layer),
                slot.source,
                slot.live,
                self._gates[layer],
                self._outputs[layer],
                slot.gradients,
                offset=self.offsets[layer],
                block=block,
                chunk=CHUNK,
                num_warps=self.options.weight_gradient_warps,
                num_stages=self.options.gradient_stages,
                **self._layer_sizes(layer),
            )
            if layer > 0:
                chunk = min(2 * CHUNK, INPUT_GRADIENT_TILE // self.units)
                input_gradient[(slot.models, triton.cdiv(self.positions * self.rows, chunk))](
                    slot.weights,
                    slot.live,
                    self._gates[layer],
                    self._output_gradients,
                    offset=self.offsets[layer],
                    chunk=chunk,
                    num_warps=self.options.input_gradient_warps * self._warp_factor,
                    num_stages=1,
                    **shared,
                )

    def optimize(self, slot: Slot) -> None:
        """The AdamW update."""
        protocol, parameters = self.population.protocol, self.population.network.parameter_count
        adamw[(slot.models, triton.cdiv(parameters, BLOCK))](
            slot.weights,
            slot.gradients,
            slot.first_moments,
            slot.second_moments,
            slot.weight_decay,
            self._schedule,
            self.step,
            beta_1=protocol.betas[0],
            beta_2=protocol.betas[1],
            epsilon=protocol.epsilon,
            stride=self.stride,
            parameters=parameters,
            block=BLOCK,
        )

    def _capture(self) -> None:
        """Record one update, after the first has compiled every kernel."""
        torch.cuda.synchronize(self.device)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.update()
        self._graph = graph
