"""Which pixels of which tiles show something: only these need a product with the input weights.

Most of an image is background, in which every input has the same value. A layer that starts from its projection of
a background tile needs, of each further input, the difference from background, and that is zero wherever nothing shows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rnnzoo.compiled.vector_kernels.vectors import address
from rnnzoo.generation.engines.numba_kernels.gate_blocks import BLOCK_ROWS, Inputs


class VisibleInputs(NamedTuple):
    """Inputs that differ from background in any row of a block of at most `BLOCK_ROWS` rows; see `visible_inputs`.

    Args:
        differences: float32 [blocks * positions * inputs * BLOCK_ROWS], the values of each input's rows together.
        which: int64 [blocks * positions * inputs], numbers of the inputs.
        counts: int64 [blocks, positions], how many inputs of a tile are listed.

    """

    differences: NDArray[np.float32]
    which: NDArray[np.int64]
    counts: NDArray[np.int64]


@njit
def visible_inputs(blocks, positions, inputs):
    """Room for the visible inputs of some blocks of rows: nothing is visible yet."""
    tiles = blocks * positions * inputs
    differences = np.empty(tiles * BLOCK_ROWS, dtype=np.float32)
    return VisibleInputs(differences, np.empty(tiles, dtype=np.int64), np.zeros((blocks, positions), dtype=np.int64))


@njit
def visible_at(visible, position, inputs):
    """What is visible at one position, as `Inputs` of a layer with so many inputs."""
    positions = visible.counts.shape[1]
    tile = position * inputs
    return Inputs(
        address(visible.differences, tile * BLOCK_ROWS), positions * inputs * BLOCK_ROWS, 1, BLOCK_ROWS,
        address(visible.which, tile), positions * inputs, address(visible.counts.ravel(), position), positions,
    )  # fmt: skip


@njit
def first_visible(image, sources):
    """The first position whose tile is not all background, the last position if there is none; position 0 is zero."""
    positions, size = sources.shape
    for position in range(positions):
        for i in range(size):
            pixel = sources[position, i]
            if pixel >= 0 and image[pixel] > 0:
                return position + 1
    return positions


@njit
def _add_shown(image, shown):
    """Set bits of the pixels that an image shows in one of several images."""
    for pixel in range(image.size):
        shown[pixel] |= image[pixel]


@njit
def list_visible(visible, block, images, numbers, sources, values, first):
    """List what is visible in one block's images, from position `first` on.

    Args:
        visible: `VisibleInputs`, filled for this block.
        block: its number.
        images, sources, values: uint8 [N, pixels]; the model's pixel map; see `TileExamples`.
        numbers: int [rows], which images.
        first: first position that is of interest, at least 1.

    """
    positions, size = sources.shape
    pixels, differences = images.ravel(), values - values[0]
    shown = np.zeros(images.shape[1], dtype=np.uint8)
    begins = np.empty(BLOCK_ROWS, dtype=np.uint64)
    for row in range(BLOCK_ROWS):
        # A block that is not full repeats its last image.
        image = numbers[min(row, numbers.size - 1)]
        begins[row] = np.uint64(image) * np.uint64(images.shape[1])
        _add_shown(images[image], shown)
    for position in range(first, positions + 1):
        start = (block * visible.counts.shape[1] + position) * size
        count = 0
        for i in range(size):
            if sources[position - 1, i] < 0:
                continue
            pixel = np.uint64(sources[position - 1, i])
            if shown[pixel] == 0:
                continue
            at = (start + count) * BLOCK_ROWS
            for row in range(BLOCK_ROWS):
                visible.differences[at + row] = differences[pixels[begins[row] + pixel]]
            visible.which[start + count] = i
            count += 1
        visible.counts[block, position] = count
