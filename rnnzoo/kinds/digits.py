"""smnist, seen by its networks: 28 x 28 images as 49 tiles of 4 x 4 pixels, normalised (paper section 5.1).

An input sequence is one all-zero tile, then the tiles in row-major order, each flattened row-major to 16 numbers.
A pixel p in 0..255 becomes (p / 255 - 0.1307) / 0.3081. Traces store the pixels; everything that runs a network on
them normalises here.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rnnzoo.format.recorded_inputs import RecordedInputs

SIDE = 28
TILE_SIDE = 4
TILES = (SIDE // TILE_SIDE) ** 2
TILE_PIXELS = TILE_SIDE**2
POSITIONS = TILES + 1
"""Length of an input sequence: the tiles and the all-zero tile in front of them."""
CLASSES = 10
PIXEL_MEAN = 0.1307
PIXEL_STD = 0.3081
INPUTS = RecordedInputs("tiles", "numbers", POSITIONS, 255, PIXEL_MEAN, PIXEL_STD, zeros_before=1)
"""How recorded tiles become what networks are fed: normalised, behind the all-zero tile."""


def pixel_values() -> NDArray[np.float32]:
    """What a network sees for each pixel intensity: float32 [256]."""
    return INPUTS.values


def tile_pixels() -> NDArray[np.int16]:
    """Which pixel of a row-major image each number of each tile is: int16 [49, 16]."""
    return to_tiles(np.arange(SIDE * SIDE, dtype=np.int16).reshape(SIDE, SIDE))


def to_tiles(images: NDArray) -> NDArray:
    """Images [..., 28, 28] cut into tiles [..., 49, 16]."""
    lead, across = images.shape[:-2], SIDE // TILE_SIDE
    grid = images.reshape(*lead, across, TILE_SIDE, across, TILE_SIDE)
    return np.moveaxis(grid, -2, -3).reshape(*lead, TILES, TILE_PIXELS)


def to_images(tiles: NDArray) -> NDArray:
    """Inverse of `to_tiles`: tiles [..., 49, 16] put together to images [..., 28, 28]."""
    lead, across = tiles.shape[:-2], SIDE // TILE_SIDE
    grid = tiles.reshape(*lead, across, across, TILE_SIDE, TILE_SIDE)
    return np.moveaxis(grid, -2, -3).reshape(*lead, SIDE, SIDE)


def network_inputs(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Recorded tiles as networks take them: uint8 [..., 49, 16] -> float32 [..., 50, 16], the zero tile in front."""
    return INPUTS.as_fed(tiles)
