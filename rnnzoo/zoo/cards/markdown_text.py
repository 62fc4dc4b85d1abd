"""Text of strangers in Markdown."""

from __future__ import annotations

import re


def escape(text: object) -> str:
    """Text that Markdown shows as it is, on one line; markup within words is left to be, as it has no effect there."""
    return re.sub(r"([\\`*\[\]<>|~]|(?<!\w)[_#]|_(?!\w))", r"\\\1", " ".join(str(text).split()))
