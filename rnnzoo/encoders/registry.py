"""Encoders by name: rnnzoo's own, those that installed packages announce, and any class as "module:Class"."""

from __future__ import annotations

import importlib
from importlib.metadata import entry_points
from typing import Any

from rnnzoo.encoders.protocol import Context, Encoder
from rnnzoo.errors import UsageError

ENTRY_POINTS = "rnnzoo.encoders"
"""Group of package entry points whose names become encoder names."""

BUILT_IN = {
    "constant": "rnnzoo.encoders.rails:ConstantEncoder",
    "labels": "rnnzoo.encoders.rails:LabelsEncoder",
    "statistics": "rnnzoo.encoders.statistics:StatisticsEncoder",
    "flat": "rnnzoo.encoders.flat:FlatEncoder",
    "transformer": "rnnzoo.encoders.transformer:TransformerEncoder",
    "dwsnet": "rnnzoo.encoders.dwsnet:DWSNetEncoder",
    "graph": "rnnzoo.encoders.graph:GraphEncoder",
    "non-interactive": "rnnzoo.encoders.probing:NonInteractiveProbingEncoder",
    "interactive": "rnnzoo.encoders.probing:InteractiveProbingEncoder",
    "probe-generator": "rnnzoo.encoders.probegen:ProbeGeneratorEncoder",
    "rollout-probing": "rnnzoo.encoders.rollout_probing:RolloutProbingEncoder",
}
"""rnnzoo's encoders: the two rails, the six of the paper and three more."""

CONTROLS = {
    "answers": "rnnzoo.encoders.controls:AnswersEncoder",
    "nearest": "rnnzoo.encoders.controls:NearestEncoder",
    "random": "rnnzoo.encoders.controls:RandomEncoder",
    "permuted": "rnnzoo.encoders.controls:PermutedEncoder",
    "shuffled": "rnnzoo.encoders.controls:ShuffledEncoder",
}
"""Controls that are run when they are named, or all of them as "controls"."""


def encoder_names() -> list[str]:
    """Every name that `find_encoder` knows: built in, then announced by installed packages."""
    announced = sorted(point.name for point in entry_points(group=ENTRY_POINTS))
    return [*BUILT_IN, *(name for name in announced if name not in BUILT_IN)]


def is_installed(name: str) -> bool:
    """Whether a name or "module:Class" is of rnnzoo or announced by an installed package, and not just any code."""
    known = {**BUILT_IN, **CONTROLS, **{point.name: point.value for point in entry_points(group=ENTRY_POINTS)}}
    return name in known or name in known.values()


def find_encoder(name: str) -> type[Encoder]:
    """The encoder class of a name or of "module:Class".

    Raises:
        UsageError: no such name, module or class, or a class that is no `Encoder`.
    """
    announced = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    target = BUILT_IN.get(name) or CONTROLS.get(name) or announced.get(name) or name
    module_name, colon, class_name = target.partition(":")
    if not colon:
        raise UsageError(
            f"There is no encoder named {name!r}: choose one of {', '.join([*encoder_names(), *CONTROLS])}, or name a "
            "class of your own as package.module:ClassName."
        )
    try:
        found: Any = importlib.import_module(module_name)
        for part in class_name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise UsageError(
            f"The encoder {target!r} could not be imported ({error}): check the name, and that its package is "
            "installed or its folder is on PYTHONPATH."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Encoder)):
        raise UsageError(f"{target!r} is no encoder: it must be a subclass of rnnzoo.encoders.Encoder.")
    return found


def build_encoder(name: str, context: Context, profile: str = "paper", **settings: Any) -> Encoder:
    """A new encoder with random weights.

    Args:
        name: a name or "module:Class".
        context: the zoo's network, inputs and examples.
        profile: which of the class's `profiles` to start from; the defaults of the class where it has none.
        settings: keyword arguments that override the profile.

    Raises:
        UsageError: an unknown encoder, or a setting it does not take.
    """
    cls = find_encoder(name)
    chosen = {**cls.profiles.get(profile, {}), **settings}
    try:
        encoder = cls(context, **chosen)
    except TypeError as error:
        raise UsageError(f"The encoder {name!r} could not be built with settings {chosen}: {error}.") from error
    if not isinstance(getattr(encoder, "context", None), Context):
        raise UsageError(f"The encoder {name!r} must call super().__init__(context) in its __init__.")
    encoder.origin, encoder.settings = name, chosen
    return encoder
