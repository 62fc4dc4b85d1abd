"""args.json of the original release: the settings its authors' code was started with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from rnnzoo.errors import UsageError
from rnnzoo.files import limits
from rnnzoo.files.safe_paths import check_place
from rnnzoo.files.strict_json import parse_json, read_bounded, reading, typed
from rnnzoo.kinds.digits import CLASSES, TILE_PIXELS, TILE_SIDE
from rnnzoo.kinds.languages import LETTERS, VOCABULARY
from rnnzoo.networks.network import Network

FILE = "args.json"
FILE_BYTES = 8192
"""The authors' has 200 bytes; its text becomes part of an attribute of every shard, which HDF5 limits to 64 kB."""
_REMEDY = "restore it, or delete it to assume the paper's settings"


@dataclass(frozen=True)
class Arguments:
    """The settings that decide what is in a folder; those that a file does not have are the paper's.

    Attributes:
        text: the file as it was read, empty if there is none.
        seed: negative where the authors' code was not seeded.
        max_n: one more than the largest n of a training string.
    """

    text: str = ""
    seed: int = 0
    rnn_hidden_size: Annotated[int, Meta(ge=1, le=limits.HIDDEN_SIZE)] = 32
    rnn_num_layers: Annotated[int, Meta(ge=1, le=limits.LAYERS)] = 2
    num_tokens: int = LETTERS
    max_n: Annotated[int, Meta(ge=1, le=limits.SEQUENCE_LENGTH)] = 10
    tile_size: int = TILE_SIDE

    def network(self, zoo: str) -> Network:
        """Shape of the networks of a kind of zoo."""
        sizes = (VOCABULARY, VOCABULARY) if zoo == "formal-languages" else (TILE_PIXELS, CLASSES)
        return Network(sizes[0], self.rnn_hidden_size, self.rnn_num_layers, sizes[1])


def read_arguments(folder: Path) -> Arguments:
    """The settings of a folder of the original release.

    Raises:
        UsageError: the folder is of a kind that rnnzoo does not know.
        RnnzooError: args.json lies elsewhere, is no JSON object, is too large, or holds an impossible value.
    """
    path = folder / FILE
    if not path.exists() and not path.is_symlink():
        return Arguments()
    check_place(folder, FILE)
    text = read_bounded(path, _REMEDY)
    data = parse_json(text, dict[str, Any], path, _REMEDY)
    with reading(path, _REMEDY):
        if len(text) > FILE_BYTES:
            raise ValueError(f"it has {len(text)} bytes, more than {FILE_BYTES}")
        known = {field.name for field in dataclasses.fields(Arguments)} - {"text"}
        found = {name: value for name, value in data.items() if name in known}
        arguments = typed({**found, "text": text.decode("utf-8")}, Arguments)
    for name in ("num_tokens", "tile_size"):
        value, expected = getattr(arguments, name), getattr(Arguments, name)
        if value != expected:
            raise UsageError(f"{path}: {name} is {value}; rnnzoo knows zoos with {expected}.")
    return arguments
