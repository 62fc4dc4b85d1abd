"""Work that waits for others, done side by side in threads which a Ctrl-C need not wait for."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def side_by_side(work: Callable[[T], object], items: Iterable[T], threads: int) -> None:
    """Do work on each item; after a first failure, or an interrupt, none is begun any more.

    A pool of concurrent.futures would keep the program from ending until what is in work is done, however slow.

    Args:
        work: called with an item, in any of the threads.
        items: in the order in which they are begun.
        threads: how many are in work at once.

    Raises:
        Exception: the first that work raised.
    """
    todo, failures = deque(items), deque[Exception]()

    def take() -> None:
        while not failures:
            try:
                item = todo.popleft()
            except IndexError:
                return
            try:
                work(item)
            except Exception as error:
                failures.append(error)

    workers = [threading.Thread(target=take, daemon=True) for _ in range(min(threads, len(todo)))]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        todo.clear()
    if failures:
        raise failures[0]
