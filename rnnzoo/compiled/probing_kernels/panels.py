"""Matrix products with a right factor cut into panels of columns, each a block of memory read from end to end.

Where many weights are read in turn they come from far away: each panel is fetched while the one before is multiplied.
"""

from __future__ import annotations

from numba import njit

from rnnzoo.compiled.vector_kernels.gemm import multiply_and_fetch

PANEL = 64
_BYTES = 4


@njit
def multiply_panels(rows, columns, depth, c, c_row, a, a_row, b, accumulate):
    """C = A B, or C += A B: see `multiply_accumulate`, but B [depth, columns] one panel after the other.

    A panel is [depth, 64], the last one narrower where columns are no multiple. What lies behind B is fetched as well.
    """
    for column in range(0, columns, PANEL):
        width = min(PANEL, columns - column)
        start, size = b + _BYTES * column * depth, _BYTES * width * depth
        multiply_and_fetch(
            rows, width, depth, c + _BYTES * column, c_row, a, a_row, 1, start, width, accumulate, start + size, size
        )


@njit
def transpose_to_panels(source, source_at, columns, depth, target, target_at):
    """Copy B^T [columns, depth] to the panels of B."""
    for start in range(0, columns, PANEL):
        width = min(PANEL, columns - start)
        for step in range(depth):
            for column in range(width):
                value = source[source_at + (start + column) * depth + step]
                target[target_at + start * depth + step * width + column] = value
