"""Threads that run compiled kernels, each call with working memory of its own."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Task = TypeVar("Task")
Memory = TypeVar("Memory")


class Workers(Generic[Memory]):
    """A pool of threads for calls that release the GIL; a context manager that never outlives its block.

    Args:
        threads: calls that run at once.
        new_memory: makes the working memory of one thread.

    """

    def __init__(self, threads: int, new_memory: Callable[[], Memory]) -> None:
        self._pool = ThreadPoolExecutor(threads)
        self._free: queue.SimpleQueue[Memory] = queue.SimpleQueue()
        for _ in range(threads):
            self._free.put(new_memory())

    def __enter__(self) -> Workers[Memory]:
        return self

    def __exit__(self, *error: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def run(self, call: Callable[[Task, Memory], None], tasks: Iterable[Task]) -> None:
        """Make one call per task and wait for all; the first exception among them is raised here."""

        def one(task: Task) -> None:
            memory = self._free.get()
            try:
                call(task, memory)
            finally:
                self._free.put(memory)

        for future in [self._pool.submit(one, task) for task in tasks]:
            future.result()
