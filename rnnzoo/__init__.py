"""Model zoos of recurrent networks, and the benchmark that compares weight encoders on them.

`load` opens a zoo; `Zoo` and `Model` are what it gives, `concatenate` joins several; `build`, `evaluate` and `pull` do
what the commands of these names do; `RnnzooError` is the error users are meant to read.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from rnnzoo.version import __version__

if TYPE_CHECKING:
    from rnnzoo.benchmark.evaluation import evaluate
    from rnnzoo.encoders import load_encoder
    from rnnzoo.errors import RnnzooError, UsageError
    from rnnzoo.generation.build_request import build
    from rnnzoo.hub.names import local_zoos as list_zoos
    from rnnzoo.hub.pulling import pull
    from rnnzoo.hub.pushing import push
    from rnnzoo.rows.model import Model
    from rnnzoo.rows.running import Activations
    from rnnzoo.zoo.concatenation import Concatenation, concatenate
    from rnnzoo.zoo.zoo import Zoo, load

__all__ = [
    "Activations",
    "Concatenation",
    "Model",
    "RnnzooError",
    "UsageError",
    "Zoo",
    "__version__",
    "build",
    "concatenate",
    "evaluate",
    "list_zoos",
    "load",
    "load_encoder",
    "pull",
    "push",
]

_HOMES = {
    "Activations": "rnnzoo.rows.running",
    "Concatenation": "rnnzoo.zoo.concatenation",
    "Model": "rnnzoo.rows.model",
    "RnnzooError": "rnnzoo.errors",
    "UsageError": "rnnzoo.errors",
    "Zoo": "rnnzoo.zoo.zoo",
    "build": "rnnzoo.generation.build_request",
    "concatenate": "rnnzoo.zoo.concatenation",
    "evaluate": "rnnzoo.benchmark.evaluation",
    "list_zoos": "rnnzoo.hub.names:local_zoos",
    "load": "rnnzoo.zoo.zoo",
    "load_encoder": "rnnzoo.encoders",
    "pull": "rnnzoo.hub.pulling",
    "push": "rnnzoo.hub.pushing",
}


def __getattr__(name: str) -> Any:
    """Import public names when they are first used, so that `import rnnzoo` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'rnnzoo' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(importlib.import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
