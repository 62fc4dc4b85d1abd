"""What an encoder is given and what it must return: the contract that third parties write against."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from msgspec import Meta
from numpy.typing import NDArray
from torch import Tensor, nn

from rnnzoo.encoders.parts.label_features import label_features
from rnnzoo.errors import RnnzooError, UsageError
from rnnzoo.files import limits
from rnnzoo.networks.network import Network
from rnnzoo.networks.prober import Prober
from rnnzoo.networks.symmetry import symmetry_of

if TYPE_CHECKING:
    from rnnzoo.rows.zoo_rows import ZooRows


@dataclass(frozen=True)
class InputSpace:
    """The inputs that networks of a zoo know, and how free numbers become such inputs.

    Args:
        kind: "tokens", one-hot vectors, or "dense", vectors of numbers in a range.
        size: values per input.
        low, high: range of a dense value.
    """

    kind: Literal["tokens", "dense"]
    size: Annotated[int, Meta(ge=1, le=limits.NETWORK_WIDTH)]
    low: float = 0.0
    high: float = 1.0

    def squash(self, free: Tensor) -> Tensor:
        """Free numbers [..., size] as soft inputs: softmax over tokens, sigmoid over the dense range."""
        if self.kind == "tokens":
            return free.softmax(-1)
        return self.low + (self.high - self.low) * free.sigmoid()

    def unsquash(self, inputs: Tensor, sharpness: float) -> Tensor:
        """Free numbers that `squash` to nearly the given inputs [..., size].

        Args:
            inputs: one-hot tokens, or dense values.
            sharpness: how near: the lead of a token's logit, and the largest logit of a dense value.
        """
        if self.kind == "tokens":
            return inputs * sharpness
        share = (inputs - self.low) / (self.high - self.low)
        return torch.logit(share, eps=1e-6).clamp(-sharpness, sharpness)


@dataclass(frozen=True)
class Context:
    """What an encoder may know of a zoo when it is built.

    Args:
        network: shape of the networks it will encode.
        input_space: the inputs they know.
        probe_length: steps per probing sequence (system: 22 for tokens, 50 for tiles).
        z_size: numbers in z.
        labels_size: numbers in `Rows.labels`.
        example_inputs: recorded rollouts of the training split, dense [E, positions, input_size], or None when an
            encoder is loaded.
        example_weights: weights of the training split, [E, P], or None when an encoder is loaded.
    """

    network: Network
    input_space: InputSpace
    probe_length: int = 22
    z_size: int = 16
    labels_size: int = 0
    example_inputs: Tensor | None = field(default=None, compare=False, repr=False)
    example_weights: Tensor | None = field(default=None, compare=False, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The fields that a saved encoder needs to be built again."""
        names = ("probe_length", "z_size", "labels_size")
        own = {name: getattr(self, name) for name in names}
        return {"network": asdict(self.network), "input_space": asdict(self.input_space), **own}


@dataclass
class Rows:
    """A batch of networks as an encoder sees them.

    Args:
        network: their shape.
        weights: flat weights [M, P].
        prepared: what the encoder's `prepare` made of these rows, or None.
        labels: task, step and accuracy as numbers [M, labels_size]; for the upper rail alone. None where unknown.
    """

    network: Network
    weights: Tensor
    prepared: Tensor | None = None
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.weights)

    def take(self, rows: Tensor) -> Rows:
        """Some of the networks, by number, int64 [N]."""
        prepared = None if self.prepared is None else self.prepared[rows]
        return Rows(self.network, self.weights[rows], prepared, None if self.labels is None else self.labels[rows])

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The weights by tensor name, gates split off, each [M, channels, *group sizes]; see `Symmetry.split`."""
        return symmetry_of(self.network).split(self.weights)

    @cached_property
    def prober(self) -> Prober:
        """The same networks as black boxes."""
        return Prober(self.network, self.weights)


class Encoder(nn.Module, ABC):
    """Base of all encoders: maps rows to z. Subclasses take (context, **settings) and define `forward`.

    Attributes:
        mechanistic: whether it reads weights; None for the rails.
        permuted_in_training: the trainer renumbers hidden units at random before each training step.
        captured_in_training: on a CUDA device the trainer records one training step and replays it; False for a
            `forward` that reads what changes from step to step on the host, such as a counter or Python's `random`, or
            that puts new tensors in the place of its own instead of changing their values.
        needs_labels: it reads `Rows.labels` (the upper rail).
        profiles: settings that differ from the defaults, which are the paper's, by name of the profile.
    """

    mechanistic: ClassVar[bool | None] = None
    permuted_in_training: ClassVar[bool] = False
    captured_in_training: ClassVar[bool] = True
    needs_labels: ClassVar[bool] = False
    profiles: ClassVar[dict[str, dict[str, Any]]] = {}

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.context = context
        self.origin = f"{type(self).__module__}:{type(self).__qualname__}"
        self.settings: dict[str, Any] = {}

    def prepare(self, weights: Tensor) -> Tensor | None:
        """Numbers [M, F] that depend on the weights alone; made once per row, and anew for permuted units.

        They come back in `Rows.prepared`.
        """
        return None

    @abstractmethod
    def forward(self, rows: Rows) -> Tensor:
        """The embedding before normalisation, [M, z_size]."""

    def probing_inputs(self, rows: Rows) -> Tensor | None:
        """The inputs it sends to the networks, [M or 1, probes, positions, input_size]; None if it sends none."""
        return None

    def embed(self, zoo: ZooRows, models_at_once: int = 256) -> NDArray[np.float32]:
        """Embeddings of every row of a zoo, unit length, float32 [rows, z_size]; NaN where the weights diverged.

        Args:
            zoo: a zoo or, unless the encoder needs labels, rows that `rnnzoo.concatenate` joined.
            models_at_once: rows embedded together, which bounds memory.

        Raises:
            UsageError: the zoo's networks have another shape than the encoder was built for, or joined rows for an
                encoder that needs labels.
        """
        if zoo.network != self.context.network:
            raise UsageError(
                f"This encoder was built for {self.context.network.describe()}, but {zoo.origin} holds networks of "
                f"{zoo.network.describe()}."
            )
        # An encoder without parameters, a fixed projection for example, computes where the weights are: here.
        device = next((tensor.device for tensor in self.state_dict().values()), torch.device("cpu"))
        embeddings = np.full((len(zoo), self.context.z_size), np.nan, dtype=np.float32)
        for start in range(0, len(zoo), models_at_once):
            part = zoo[start : start + models_at_once]
            sound = np.flatnonzero(~part["diverged"])
            if not len(sound):
                continue
            part = part[sound]
            weights = torch.from_numpy(part["weights"]).to(device)
            labels = label_features(part).to(device) if self.needs_labels else None
            rows = Rows(zoo.network, weights, labels=labels)
            embeddings[start + sound] = embed_rows(self, rows, models_at_once).cpu().numpy()
        return embeddings


def encode(encoder: nn.Module, rows: Rows, z_size: int, check_values: bool = True) -> Tensor:
    """Embeddings of unit length [M, z_size], with the encoder's answer checked.

    Args:
        encoder: any encoder.
        rows: the networks.
        z_size: numbers an embedding must have.
        check_values: look for NaN and infinity, which on an accelerator waits for it.

    Raises:
        RnnzooError: an answer of the wrong type or shape, or with values that are not finite.
    """
    z = encoder(rows)
    name = type(encoder).__name__
    if not isinstance(z, Tensor) or z.shape != (len(rows), z_size):
        got = f"shape {tuple(z.shape)}" if isinstance(z, Tensor) else f"a {type(z).__name__}"
        raise RnnzooError(
            f"The encoder {name} returned {got} for {len(rows)} networks: its forward must return a tensor "
            f"of shape ({len(rows)}, {z_size})."
        )
    if check_values and not torch.isfinite(z).all():
        raise not_finite(encoder, int((~torch.isfinite(z)).any(dim=1).sum()), len(rows))
    return nn.functional.normalize(z, dim=1, eps=1e-6)


def not_finite(encoder: nn.Module, unsound: int, networks: int) -> RnnzooError:
    """The error that an encoder's answer is not finite for so many of some networks."""
    return RnnzooError(
        f"The encoder {type(encoder).__name__} returned NaN or infinity for {unsound} of {networks} networks: lower "
        "the learning rate, or look for a division by zero or a logarithm of zero in its forward."
    )


@torch.no_grad()
def prepare(encoder: Encoder, rows: Rows, rows_at_once: int = 512) -> Rows:
    """The same networks with what the encoder's `prepare` makes of each, and labels only where it asks for it."""
    made = [part for part in map(encoder.prepare, rows.weights.split(rows_at_once)) if part is not None]
    labels = rows.labels if encoder.needs_labels else None
    return Rows(rows.network, rows.weights, torch.cat(made) if made else None, labels)


def permute(encoder: Encoder, rows: Rows, permutations: Mapping[str, Tensor]) -> Rows:
    """The same functions with the hidden units of each network permuted, and all that depends on the weights anew.

    Args:
        encoder: whose `prepare` made what the rows hold.
        rows: the networks, M.
        permutations: int64 [M, size] by group; see `rnnzoo.networks.symmetry.Symmetry.permute`.
    """
    weights = symmetry_of(rows.network).permute(rows.weights, permutations)
    return prepare(encoder, replace(rows, weights=weights))


@torch.no_grad()
def embed_rows(encoder: Encoder, rows: Rows, rows_at_once: int = 128) -> Tensor:
    """Embeddings of networks in memory, float32 [M, z_size], on their device."""
    was_training = encoder.training
    encoder.eval()
    parts = []
    for chosen in torch.arange(len(rows), device=rows.weights.device).split(rows_at_once):
        parts.append(encode(encoder, prepare(encoder, rows.take(chosen)), encoder.context.z_size))
    encoder.train(was_training)
    return torch.cat(parts)
