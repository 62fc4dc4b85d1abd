"""The shape of a zoo's networks and where each parameter lies in the flat weight vector."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
from msgspec import Meta

from rnnzoo import limits
from rnnzoo.errors import UsageError

GATES = ("input", "forget", "cell", "output")
"""Order of the four gates along the first axis of every LSTM tensor (PyTorch's i, f, g, o)."""


@dataclass(frozen=True)
class Parameter:
    """One tensor of the network: its PyTorch name, shape and place in the flat vector."""

    name: str
    shape: tuple[int, ...]
    offset: int

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
    """An LSTM with a linear read-out from its top layer (system of Herrmann et al. 2024, section 5).

    Args:
        input_size: width of one input vector.
        hidden_size: units per layer.
        layers: number of stacked LSTM layers.
        output_size: number of logits.

    Raises:
        UsageError: a size is not a positive integer.
    """

    input_size: Annotated[int, Meta(le=limits.NETWORK_WIDTH)]
    hidden_size: Annotated[int, Meta(le=limits.HIDDEN_SIZE)] = 32
    layers: Annotated[int, Meta(le=limits.LAYERS)] = 2
    output_size: Annotated[int, Meta(le=limits.NETWORK_WIDTH)] = 10

    def __post_init__(self) -> None:
        for field in ("input_size", "hidden_size", "layers", "output_size"):
            value = getattr(self, field)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise UsageError(f"network.{field}={value!r} is impossible: give a whole number of at least 1.")

    def parameters(self) -> Iterator[Parameter]:
        """Every tensor in flat order: per layer weight_ih, weight_hh, bias_ih, bias_hh; then the read-out."""
        gates = 4 * self.hidden_size
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

    def unflatten(self, weights: Any) -> dict[str, Any]:
        """Views of every tensor in flat weights [..., P] (NumPy array or torch tensor), keyed by name."""
        if weights.shape[-1] != self.parameter_count:
            raise UsageError(
                f"The weight vector has {weights.shape[-1]} values, but {self} has {self.parameter_count} parameters."
            )
        lead = tuple(weights.shape[:-1])
        return {p.name: weights[..., p.offset : p.stop].reshape(lead + p.shape) for p in self.parameters()}

    def flatten(self, tensors: Mapping[str, np.ndarray]) -> np.ndarray:
        """Inverse of `unflatten` for NumPy arrays: tensors by name -> flat weights [..., P]."""
        parts = []
        for p in self.parameters():
            tensor = np.asarray(tensors[p.name])
            parts.append(tensor.reshape(tensor.shape[: tensor.ndim - len(p.shape)] + (p.size,)))
        return np.concatenate(parts, axis=-1)

    def describe(self) -> str:
        """A short human name, for example `LSTM 2 x 32, 6 inputs, 6 outputs`."""
        return f"LSTM {self.layers} x {self.hidden_size}, {self.input_size} inputs, {self.output_size} outputs"
