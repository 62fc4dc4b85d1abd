"""The original authors' format: names, types and shapes of its .npy arrays, and how it writes pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rnnzoo.kinds.digits import pixel_values
from rnnzoo.kinds.languages import LETTERS
from rnnzoo.networks.network import Network

UPDATES_AHEAD = 1
"""Updates the released weights have had beyond their step number."""
LANGUAGE_ROLLOUTS = 1000
"""Rollouts the released code scores per snapshot; `num_step_correct` counts the correct ones."""
DIGIT_IMAGES_EVALUATED = 13_000


def array_shapes(zoo: str, network: Network, recorded: int, positions: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Data type and shape of one row of every array of a kind of zoo, by name.

    Args:
        zoo: "formal-languages" or "smnist".
        network: shape of the networks.
        recorded: traces per snapshot.
        positions: length of a recorded sequence: tokens, or tiles with the zero tile.
    """
    if zoo == "formal-languages":
        return {
            "parameters": ("float32", (network.parameter_count,)),
            "sequences": ("int16", (recorded, positions)),
            "logits": ("float16", (recorded, positions - 1, network.output_size)),
            "tasks": ("int64", (LETTERS,)),
            "num_step_correct": ("int64", (3,)),
        }
    return {
        "parameters": ("float32", (network.parameter_count,)),
        "sequences": ("float16", (recorded, positions, network.input_size)),
        "logits": ("float16", (recorded, positions, network.output_size)),
        "tasks": ("float64", (1,)),
        "num_step": ("int64", (2,)),
        "accuracy_losses": ("float64", (4,)),
    }


def pixels_of(sequences: NDArray[np.float16]) -> NDArray[np.uint8]:
    """The pixels that normalise to exactly these sequences: float16 [..., 50, 16] -> uint8 [..., 49, 16].

    Normalised intensities are 256 distinct numbers in float16, so the inverse is exact, bit for bit.

    Raises:
        ValueError: a value that no pixel has, or a first tile that is not all zero.
    """
    bits = np.ascontiguousarray(sequences).view(np.uint16)
    if bits[..., 0, :].any():
        raise ValueError("a sequence does not begin with an all-zero tile")
    inverse = np.full(2**16, -1, dtype=np.int16)
    inverse[released_pixel_values().view(np.uint16)] = np.arange(256)
    pixels = inverse[bits[..., 1:, :]]
    if pixels.min(initial=0) < 0:
        raise ValueError("a value is not a pixel normalised as (p / 255 - 0.1307) / 0.3081")
    return pixels.astype(np.uint8)


def released_pixel_values() -> NDArray[np.float16]:
    """How the release writes each pixel intensity: float16 [256]."""
    return pixel_values().astype(np.float16)
