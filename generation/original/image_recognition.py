"""Recognise rotated images: which image of a set a recorded sequence of tiles shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from rnnzoo.generation.kinds.rotation import BACKGROUND
from rnnzoo.generation.kinds.smnist import rotated_tiles, tile_sources
from rnnzoo.kinds.digits import TILE_PIXELS, TILES

_IMAGES_AT_ONCE = 8192


def recognise_images(images: NDArray[np.uint8], angle: float, tiles: NDArray[np.uint8]) -> NDArray[np.int32]:
    """The image each sequence of tiles shows, int32 [...], -1 where none does; the first of several that look alike.

    A random sum over what is visible finds candidates, the pixels themselves decide. No rotated image is kept.

    Args:
        images: uint8 [N, 784].
        angle: rotation in degrees.
        tiles: uint8 [..., 49, 16].
    """
    sources = tile_sources(angle)
    # Whole-number weights below 2**34 keep every sum of 784 pixels exact in float64.
    weights = np.random.default_rng(0).integers(0, 2**34, (TILES, TILE_PIXELS)).astype(np.float64)
    shown = sources != BACKGROUND
    per_pixel = np.bincount(sources[shown], weights[shown], images.shape[1])
    sums = np.concatenate(
        [images[start : start + _IMAGES_AT_ONCE] @ per_pixel for start in range(0, len(images), _IMAGES_AT_ONCE)]
    )
    order = np.argsort(sums, kind="stable")
    wanted = tiles.reshape(-1, TILES * TILE_PIXELS) @ weights.ravel()
    at = np.searchsorted(sums[order], wanted)
    found = order[np.minimum(at, len(order) - 1)].astype(np.int32)
    same = (rotated_tiles(images[found], sources) == tiles.reshape(-1, TILES, TILE_PIXELS)).all(axis=(1, 2))
    return np.where(same, found, np.int32(-1)).reshape(tiles.shape[:-2])
