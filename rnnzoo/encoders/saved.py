"""A saved encoder, read from a folder that anyone may have written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from msgspec import Meta

from rnnzoo.encoders.protocol import Context, Encoder, InputSpace
from rnnzoo.encoders.registry import build_encoder, find_encoder, is_installed
from rnnzoo.errors import RnnzooError
from rnnzoo.files import limits
from rnnzoo.files.strict_json import read_json, reading, typed
from rnnzoo.format.manifest import Sha256, canonical_sha256, file_sha256
from rnnzoo.networks.network import Network

FORMAT = 2
CONFIG_NAME, WEIGHTS_NAME = "encoder.json", "encoder.safetensors"
_REMEDY = "train or copy it again"

_Size = Annotated[int, Meta(ge=0, le=limits.ENCODER_SIZE)]
_Scalar = bool | Annotated[int, Meta(ge=-limits.ENCODER_SIZE, le=limits.ENCODER_SIZE)] | float | str | None


@dataclass(frozen=True)
class _SavedContext:
    network: Network
    input_space: InputSpace
    probe_length: _Size
    z_size: _Size
    labels_size: _Size


@dataclass(frozen=True)
class SavedEncoder:
    """What `encoder.json` says, checked against its own checksum and that of the weights.

    Attributes:
        folder: where it lies.
        encoder: name or "module:Class".
        settings: what it is built with.
        context: what it was built in.
        weights_sha256: SHA-256 of encoder.safetensors.
    """

    folder: Path
    encoder: str
    settings: Mapping[str, Any]
    context: Context
    weights_sha256: str

    def build(self) -> Encoder:
        """The encoder with its weights, ready to embed; imports the module of its class.

        Raises:
            RnnzooError: the weights are not those of such an encoder.
            UsageError: its class cannot be imported.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        find_encoder(self.encoder)
        with reading(f"The saved encoder in {self.folder}", _REMEDY):
            try:
                tensors = load_file(self.folder / WEIGHTS_NAME)
            except SafetensorError as error:
                raise ValueError(str(error)) from error
            if is_installed(self.encoder):
                # On the meta device first, without memory: sizes are only claimed until the tensors are seen to fit.
                with torch.device("meta"):
                    _check_shapes(self._built(), tensors)
            encoder = self._built()
            encoder.load_state_dict(tensors)
        return encoder.eval()

    def _built(self) -> Encoder:
        return build_encoder(self.encoder, self.context, **self.settings)


@dataclass(frozen=True)
class _Config:
    format: int
    encoder: Annotated[str, Meta(max_length=limits.NAME_LENGTH)]
    settings: dict[str, _Scalar | list[_Scalar]]
    context: _SavedContext
    weights_sha256: Sha256
    config_sha256: Sha256


def read_saved_encoder(folder: Path) -> SavedEncoder:
    """What a folder says of the encoder in it, without importing anything.

    Raises:
        RnnzooError: no such folder, a damaged file, or a format this rnnzoo does not read.
    """
    path = folder / CONFIG_NAME
    try:
        data = read_json(path, dict[str, Any], _REMEDY)
        with reading(path, _REMEDY):
            if data["format"] != FORMAT:
                raise RnnzooError(
                    f"{path} has format {data['format']!r}; this rnnzoo reads {FORMAT}: train the encoder again, or "
                    "use the rnnzoo that wrote it."
                )
            config = typed(data, _Config)
            if config.config_sha256 != canonical_sha256({k: v for k, v in data.items() if k != "config_sha256"}):
                raise ValueError("field config_sha256 does not match its contents")
        if file_sha256(folder / WEIGHTS_NAME) != config.weights_sha256:
            raise RnnzooError(f"{folder / WEIGHTS_NAME} is not what was saved (its SHA-256 differs): {_REMEDY}.")
    except FileNotFoundError as error:
        raise RnnzooError(
            f"{folder} holds no saved encoder ({error.filename} is missing): give a folder written by save_encoder."
        ) from error
    context = Context(**vars(config.context))
    return SavedEncoder(folder, config.encoder, config.settings, context, config.weights_sha256)


def _check_shapes(encoder: Encoder, tensors: Mapping[str, torch.Tensor]) -> None:
    expected = {name: tensor.shape for name, tensor in encoder.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ValueError(f"tensor {name} has shape {found.get(name)}, not {expected.get(name)}")
