"""Trained encoders on disk."""

from __future__ import annotations

from pathlib import Path

from rnnzoo.encoders.protocol import Encoder
from rnnzoo.encoders.registry import is_installed
from rnnzoo.encoders.saved import CONFIG_NAME, FORMAT, WEIGHTS_NAME, read_saved_encoder
from rnnzoo.errors import UsageError
from rnnzoo.files.atomic import atomic_path, write_json
from rnnzoo.format.manifest import canonical_sha256, file_sha256


def save_encoder(encoder: Encoder, folder: str | Path) -> None:
    """Write an encoder as `encoder.json` and `encoder.safetensors`, with checksums; `load_encoder` reads it back.

    Raises:
        RnnzooError: the folder cannot be written to.
    """
    from safetensors.torch import save_file

    folder = Path(folder)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with atomic_path(folder / WEIGHTS_NAME) as temporary:
        save_file(tensors, temporary)
    config = {
        "format": FORMAT,
        "encoder": encoder.origin,
        "settings": encoder.settings,
        "context": encoder.context.as_json(),
        "weights_sha256": file_sha256(folder / WEIGHTS_NAME),
    }
    write_json(folder / CONFIG_NAME, {**config, "config_sha256": canonical_sha256(config)})


def load_encoder(path: str | Path, trust_code: bool = False) -> Encoder:
    """An encoder that `save_encoder` wrote, ready to embed.

    Args:
        path: its folder.
        trust_code: also import the module that the folder names if the encoder is neither one of rnnzoo's nor
            announced by an installed package. That runs the module's code: only for folders whose writer you trust.

    Raises:
        RnnzooError: no such folder, a damaged file, or a format this rnnzoo does not read.
        UsageError: the encoder's class cannot be imported here, or is code that was not declared trusted.
    """
    saved = read_saved_encoder(Path(path))
    if not (trust_code or is_installed(saved.encoder)):
        raise UsageError(
            f"The encoder in {path} is the class {saved.encoder!r}, which is neither rnnzoo's nor announced by an "
            "installed package; to load it is to import and run that module. If you trust whoever wrote the folder, "
            "and the module that Python will find by that name here, call load_encoder(path, trust_code=True)."
        )
    return saved.build()
