"""Sums of outer products: A^T B for two tall matrices, some rows of A and B at a time, while these are in the cache."""

from __future__ import annotations

from collections.abc import Callable

from numba import njit

from rnnzoo.vector_kernels.disk_cache import digest_of_sources
from rnnzoo.vector_kernels.gemm import multiply_accumulate
from rnnzoo.vector_kernels.vectors import address

ROWS_AT_ONCE = 64


def _compile(sources: str) -> Callable[..., None]:
    """The entry point, cached on disk under the digest of all kernel sources."""

    @njit(cache=True, nogil=True)
    def sum_of_outer_products(count, width, columns, first, last, a, b, result, begun):
        """Rows `first` to `last` of A^T B.

        Args:
            count, width, columns: A is [count, width], B [count, columns], columns a multiple of 16.
            first, last: which columns of A.
            a, b: float32, one-dimensional.
            result: [width, columns], the other rows are left as they are.
            begun: whether to add to what is there.

        """
        assert sources
        for start in range(0, count, ROWS_AT_ONCE):
            multiply_accumulate(
                last - first, columns, min(ROWS_AT_ONCE, count - start),
                address(result, first * columns), columns, address(a, start * width + first), 1, width,
                address(b, start * columns), columns, begun or start > 0,
            )  # fmt: skip

    return sum_of_outer_products


sum_of_outer_products = _compile(digest_of_sources())
