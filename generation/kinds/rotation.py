"""Rotate an image without touching it: which pixel of the original each pixel of the rotated one shows.

The map reproduces Pillow's `Image.rotate` with nearest neighbours, same size and background 0, pixel for pixel.
That takes its arithmetic: exact turns for multiples of 90 degrees, otherwise an affine map from the output's pixel
centres to the input, its coefficients rounded to 15 decimals and then to fixed point with 16 fractional bits.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

BACKGROUND = -1
_FRACTION_BITS = 16


def rotation_map(angle: float, side: int) -> NDArray[np.int16]:
    """Source of every pixel of a square image rotated counter-clockwise about its centre.

    Args:
        angle: degrees.
        side: width and height of the image, at most 181 so that pixel numbers fit.

    Returns:
        int16 [side, side]: row-major number of the original pixel, or -1 for background.
    """
    angle = angle % 360.0
    if angle % 90.0 == 0.0:
        pixels = np.arange(side * side, dtype=np.int16).reshape(side, side)
        return np.ascontiguousarray(np.rot90(pixels, int(angle // 90.0)))
    # The map goes from output to input, so it turns the other way.
    turn = -math.radians(angle)
    cosine, sine = round(math.cos(turn), 15), round(math.sin(turn), 15)
    centre = side / 2
    column, row = np.arange(side, dtype=np.int64), np.arange(side, dtype=np.int64)[:, None]
    x = _fixed_line(cosine, sine, cosine * -centre + sine * -centre + centre, column, row)
    y = _fixed_line(-sine, cosine, -sine * -centre + cosine * -centre + centre, column, row)
    inside = (x >= 0) & (x < side) & (y >= 0) & (y < side)
    return np.where(inside, y * side + x, BACKGROUND).astype(np.int16)


def _fixed_line(
    per_column: float, per_row: float, offset: float, column: NDArray[np.int64], row: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Whole part of per_column * (column + 1/2) + per_row * (row + 1/2) + offset, in fixed point."""
    start = _fixed(offset + per_column * 0.5 + per_row * 0.5)
    return (start + _fixed(per_column) * column + _fixed(per_row) * row) >> _FRACTION_BITS


def _fixed(value: float) -> int:
    return math.floor(value * (1 << _FRACTION_BITS) + 0.5)
