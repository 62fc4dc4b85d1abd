"""How the Triton kernels are shaped: padding, tiles, warps and the arithmetic of their products."""

from __future__ import annotations

from dataclasses import dataclass

from rnnzoo.generation.population import Population, TokenExamples
from rnnzoo.networks.network import Network

PRECISIONS = ("tf32x3", "ieee", "tf32")
"""What `tl.dot` may do with float32 factors.

"tf32x3" splits them in two on the tensor cores and keeps float32 accuracy, "ieee" multiplies in plain float32,
"tf32" rounds them to 10 bits and is never the default.
"""
ROWS = 16
CHUNK = 32
SMALLEST_TILE = 16
LARGEST_HIDDEN = 128
LARGEST_RESIDENT = 32


@dataclass(frozen=True)
class KernelOptions:
    """What may be tuned without changing what is computed, beyond rounding.

    Args:
        precision: one of `PRECISIONS`.
        forward_warps, backward_warps, gradient_warps, input_gradient_warps, read_out_warps, inference_warps:
            warps per program.
        forward_stages, backward_stages, gradient_stages: depth of the software pipelines that fetch activations.
    """

    precision: str = "tf32x3"
    forward_warps: int = 4
    backward_warps: int = 4
    gradient_warps: int = 2
    input_gradient_warps: int = 4
    read_out_warps: int = 4
    inference_warps: int = 4
    forward_stages: int = 2
    backward_stages: int = 2
    gradient_stages: int = 2

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision={self.precision!r} must be one of {', '.join(PRECISIONS)}.")

    @property
    def inference_rows(self) -> int:
        """Strings or images per program: what the registers hold without the tensor cores, or with them."""
        return 16 if self.precision == "ieee" else 64

    @property
    def weight_gradient_warps(self) -> int:
        """`gradient_warps`, or twice as many without the tensor cores: then factors lie in registers, and fit."""
        return 2 * self.gradient_warps if self.precision == "ieee" else self.gradient_warps


def padded(size: int) -> int:
    """The smallest tile side that holds `size`: a power of two of at least 16."""
    return max(SMALLEST_TILE, 1 << (size - 1).bit_length())


def resident(network: Network) -> bool:
    """Whether one layer's weights fit on chip beside its activations."""
    return padded(network.hidden_size) <= LARGEST_RESIDENT


def weight_stride(network: Network) -> int:
    """Distance between the weights of two models, in numbers: a multiple of 32, so that rows stay aligned."""
    return -(-network.parameter_count // 32) * 32


def layer_offsets(network: Network) -> list[int]:
    """Where each layer's `weight_ih` begins in the flat weights, and last where the read-out begins."""
    starts = {parameter.name: parameter.offset for parameter in network.parameters()}
    return [starts[f"weight_ih_l{layer}"] for layer in range(network.layers)] + [starts["linear.weight"]]


def draws_distinct(population: Population, count: int) -> bool:
    """Whether a model with `count` distinct examples trains on them as weighted rows, rather than on every draw."""
    return isinstance(population.examples, TokenExamples) and padded(count) <= padded(population.protocol.batch_size)
