"""A build on paper: how long units take on many workers, some of them lost and tried again."""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Sequence


def simulate(
    seconds: Sequence[float], workers: int, start: float = 0.0, lost: float = 0.0, attempts: int = 3, seed: int = 0
) -> float:
    """Seconds until the last unit is finished, when idle workers take the first waiting unit.

    Args:
        seconds: how long each unit takes.
        workers: units in work at a time.
        start: seconds before a worker is ready, at the beginning and after each loss.
        lost: share of attempts that are lost, each at a random moment; the unit waits again, behind all others.
        attempts: after so many losses a unit is given up.
        seed: of the losses.
    """
    generator = random.Random(seed)
    waiting = deque((unit, attempts) for unit in seconds)
    free = [start] * workers
    end = 0.0
    # A lost unit waits again only from the moment of its loss.
    returning: list[tuple[float, float, int]] = []
    while waiting or returning:
        now = heapq.heappop(free)
        while returning and (returning[0][0] <= now or not waiting):
            moment, unit, left = heapq.heappop(returning)
            now = max(now, moment)
            waiting.append((unit, left))
        unit, left = waiting.popleft()
        if generator.random() < lost:
            moment = now + unit * generator.random()
            if left > 1:
                heapq.heappush(returning, (moment, unit, left - 1))
            heapq.heappush(free, moment + start)
        else:
            end = max(end, now + unit)
            heapq.heappush(free, now + unit)
    return end
