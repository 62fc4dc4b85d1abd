"""Kinds of zoos: what their rows, tasks and pictures are. `rnnzoo.generation.kinds` builds them."""

from rnnzoo.kinds.kind import Colouring, Curve, Kind, classes_of
from rnnzoo.kinds.registry import find_kind, kind_names

__all__ = ["Colouring", "Curve", "Kind", "classes_of", "find_kind", "kind_names"]
