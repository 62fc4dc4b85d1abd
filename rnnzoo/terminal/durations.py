"""Spans of time in words."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """A span of time as people say it: 12 s, 40 min, 2 h 5 min."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"
