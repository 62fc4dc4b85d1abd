"""The shape of a zoo's networks and where each parameter lies in the flat weight vector."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from rnnzoo.errors import UsageError
from rnnzoo.files import limits


@dataclass(frozen=True)
class Cell:
    """What networks of a kind of recurrent cell have in common.

    Attributes:
        title: as people write it.
        gates: in their order along the first axis of every tensor of a layer.
    """

    title: str
    gates: tuple[str, ...]


CELLS = {"lstm": Cell("LSTM", ("input", "forget", "cell", "output"))}
"""Every recurrent cell this version knows, by the name that recipes and manifests give; the order of the LSTM's gates
is PyTorch's i, f, g, o."""
GATES = CELLS["lstm"].gates


@dataclass(frozen=True)
class Parameter:
    """One tensor of the network: its PyTorch name, shape and place in the flat vector."""

    name: Annotated[str, Meta(pattern=r"\A\w[\w.-]*\Z", max_length=limits.NAME_LENGTH)]
    shape: tuple[Annotated[int, Meta(ge=1)], ...]
    offset: Annotated[int, Meta(ge=0)]

    @property
    def size(self) -> int:
        """Number of values in the tensor."""
        return math.prod(self.shape)

    @property
    def stop(self) -> int:
        """Index just past the tensor in the flat vector."""
        return self.offset + self.size


@dataclass(frozen=True)
class Network:
    """Recurrent layers with a linear read-out from the top one (Herrmann et al. 2024, section 5).

    Args:
        input_size: width of one input vector.
        hidden_size: units per layer.
        layers: number of stacked recurrent layers.
        output_size: number of logits.
        cell: name of the recurrent cell, one of `CELLS`. A zoo may have one that this version does not know: then all
            is there but what needs the layout of the weights.

    Raises:
        UsageError: a size is not a positive integer.
    """

    input_size: Annotated[int, Meta(le=limits.NETWORK_WIDTH)]
    hidden_size: Annotated[int, Meta(le=limits.HIDDEN_SIZE)] = 32
    layers: Annotated[int, Meta(le=limits.LAYERS)] = 2
    output_size: Annotated[int, Meta(le=limits.NETWORK_WIDTH)] = 10
    cell: Annotated[str, Meta(pattern=r"\A[a-z][a-z0-9-]{0,31}\Z")] = "lstm"

    def __post_init__(self) -> None:
        for field in ("input_size", "hidden_size", "layers", "output_size"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"network.{field}={value!r} is impossible: give a whole number of at least 1.")

    @property
    def known_cell(self) -> Cell:
        """What is known of the recurrent cell.

        Raises:
            UsageError: nothing.
        """
        if self.cell not in CELLS:
            raise UsageError(
                f"This rnnzoo knows no recurrent cell {self.cell!r}, only {', '.join(CELLS)}: update rnnzoo to run "
                "such networks. Columns and tensors can be read all the same."
            )
        return CELLS[self.cell]

    @property
    def initial_bound(self) -> float:
        """Initial weights are uniform between this and its negative, PyTorch's default for recurrent layers."""
        return self.hidden_size**-0.5

    def parameters(self) -> Iterator[Parameter]:
        """Every tensor in flat order: per layer weight_ih, weight_hh, bias_ih, bias_hh; then the read-out.

        Raises:
            UsageError: a recurrent cell that this version does not know.
        """
        gates = len(self.known_cell.gates) * self.hidden_size
        shapes: list[tuple[str, tuple[int, ...]]] = []
        for layer in range(self.layers):
            width = self.input_size if layer == 0 else self.hidden_size
            shapes += [
                (f"weight_ih_l{layer}", (gates, width)),
                (f"weight_hh_l{layer}", (gates, self.hidden_size)),
                (f"bias_ih_l{layer}", (gates,)),
                (f"bias_hh_l{layer}", (gates,)),
            ]
        shapes += [
            ("linear.weight", (self.output_size, self.hidden_size)),
            ("linear.bias", (self.output_size,)),
        ]
        offset = 0
        for name, shape in shapes:
            parameter = Parameter(name, shape, offset)
            yield parameter
            offset = parameter.stop

    @property
    def parameter_count(self) -> int:
        """Length of the flat weight vector."""
        return sum(parameter.size for parameter in self.parameters())

    def state_name(self, parameter: str) -> str:
        """The name of a tensor in the `state_dict` of the network as a PyTorch module, such as "lstm.weight_ih_l0"."""
        return parameter if parameter.startswith("linear.") else f"{self.cell}.{parameter}"

    def unflatten(self, weights: Any) -> dict[str, Any]:
        """Views of every tensor in flat weights [..., P] (NumPy array or torch tensor), keyed by name."""
        if weights.shape[-1] != self.parameter_count:
            raise UsageError(
                f"The weight vector has {weights.shape[-1]} values, but {self} has {self.parameter_count} parameters."
            )
        return tensors_of(weights, self.parameters())

    def flatten(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Inverse of `unflatten` for NumPy arrays: tensors by name -> flat weights [..., P]."""
        parts = []
        for p in self.parameters():
            tensor = np.asarray(tensors[p.name])
            parts.append(tensor.reshape(tensor.shape[: tensor.ndim - len(p.shape)] + (p.size,)))
        return np.concatenate(parts, axis=-1)

    def describe(self) -> str:
        """A short human name, for example `LSTM 2 x 32, 6 inputs, 6 outputs`."""
        title = CELLS[self.cell].title if self.cell in CELLS else self.cell
        return f"{title} {self.layers} x {self.hidden_size}, {self.input_size} inputs, {self.output_size} outputs"


def tensors_of(weights: Any, layout: Iterable[Parameter]) -> dict[str, Any]:
    """Views of every tensor of a layout in flat weights [..., P] (NumPy array or torch tensor), keyed by name."""
    lead = tuple(weights.shape[:-1])
    return {p.name: weights[..., p.offset : p.stop].reshape(lead + p.shape) for p in layout}
