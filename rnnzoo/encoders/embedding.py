"""Embed whole zoos, and keep trained encoders on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from rnnzoo.atomic import atomic_path, write_json
from rnnzoo.encoders.protocol import Context, Encoder, Rows, encode
from rnnzoo.encoders.registry import build_encoder
from rnnzoo.errors import RnnzooError, UsageError

if TYPE_CHECKING:
    from rnnzoo.zoo import Zoo

FORMAT = 1
CONFIG_NAME, WEIGHTS_NAME = "encoder.json", "encoder.safetensors"


def embed_zoo(encoder: Encoder, zoo: Zoo, models_at_once: int = 256) -> NDArray[np.float32]:
    """Embeddings of every row of a zoo; see `Encoder.embed`."""
    from rnnzoo.emulation_data import truth_features

    if zoo.network != encoder.context.network:
        raise UsageError(
            f"This encoder was built for {encoder.context.network.describe()}, but {zoo.folder} holds networks of "
            f"{zoo.network.describe()}."
        )
    # An encoder without parameters, a fixed projection for example, computes where the weights are: here.
    device = next((tensor.device for tensor in encoder.state_dict().values()), torch.device("cpu"))
    embeddings = np.full((len(zoo), encoder.context.z_size), np.nan, dtype=np.float32)
    was_training = encoder.training
    encoder.eval()
    for start in range(0, len(zoo), models_at_once):
        part = zoo[start : start + models_at_once]
        sound = np.flatnonzero(~part["diverged"])
        if not len(sound):
            continue
        part = part[sound]
        weights = torch.from_numpy(part["weights"]).to(device)
        truth = truth_features(part).to(device) if encoder.needs_truth else None
        with torch.no_grad():
            rows = Rows(zoo.network, weights, encoder.prepare(weights), truth)
            embeddings[start + sound] = encode(encoder, rows, encoder.context.z_size).cpu().numpy()
    encoder.train(was_training)
    return embeddings


def save_encoder(encoder: Encoder, folder: str | Path) -> None:
    """Write an encoder as `encoder.json` and `encoder.safetensors`; `load_encoder` reads it back.

    Raises:
        RnnzooError: the folder cannot be written to.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with atomic_path(folder / WEIGHTS_NAME) as temporary:
        save_file(tensors, temporary)
    config = {"format": FORMAT, "encoder": encoder.origin, "settings": encoder.settings}
    write_json(folder / CONFIG_NAME, {**config, "context": encoder.context.as_json()})


def load_encoder(path: str | Path) -> Encoder:
    """An encoder that `save_encoder` wrote, ready to embed.

    Raises:
        RnnzooError: no such folder, a damaged file, or a format this rnnzoo does not read.
        UsageError: the encoder's class cannot be imported here.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    folder = Path(path)
    try:
        config = json.loads((folder / CONFIG_NAME).read_text(encoding="utf-8"))
        tensors = load_file(folder / WEIGHTS_NAME)
        if config["format"] != FORMAT:
            raise RnnzooError(f"{folder} has format {config['format']}; this rnnzoo reads {FORMAT}: update rnnzoo.")
        encoder = build_encoder(config["encoder"], Context.from_json(config["context"]), **config["settings"])
        encoder.load_state_dict(tensors)
    except FileNotFoundError as error:
        raise RnnzooError(
            f"{folder} holds no saved encoder ({error.filename} is missing): give a folder written by save_encoder."
        ) from error
    except (SafetensorError, json.JSONDecodeError, KeyError, TypeError, RuntimeError) as error:
        raise RnnzooError(f"The saved encoder in {folder} is damaged ({error}): train or copy it again.") from error
    return encoder.eval()
