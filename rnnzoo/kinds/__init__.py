"""Kinds of zoos: what their rows, tasks and pictures are. `rnnzoo.generation.kinds` builds them.

Whoever adds a kind needs the names below, and those of `rnnzoo.kinds.properties`.
"""

from rnnzoo.errors import require
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.format.schema import (
    Column,
    identity_columns,
    loss_column,
    network_of,
    share_column,
    trace_column,
    weight_columns,
)
from rnnzoo.kinds.kind import Colouring, Curve, Kind, classes_of
from rnnzoo.kinds.registry import find_kind, kind_names
from rnnzoo.networks.network import Network

__all__ = [
    "Colouring",
    "Column",
    "Curve",
    "Kind",
    "Network",
    "RecordedInputs",
    "classes_of",
    "find_kind",
    "identity_columns",
    "kind_names",
    "loss_column",
    "network_of",
    "require",
    "share_column",
    "trace_column",
    "weight_columns",
]
