"""What a zoo's networks were fed when their answers were recorded: which column holds it, and how networks take it.

A manifest says this of its zoo, so recorded answers can be checked, and networks run, whatever their task was.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from rnnzoo.files import limits


@dataclass(frozen=True)
class RecordedInputs:
    """How the recorded inputs of a zoo become what its networks take.

    Attributes:
        column: name of the trace that holds them, uint8 [recorded, ...].
        form: "tokens", of which the networks saw the first `positions` as one-hot vectors; or "numbers", of which they
            saw (number / scale - mean) / std, computed in float32 step by step, behind `zeros_before` vectors of zeros.
        positions: length of what the networks were fed, and of the column `log_probs` that holds their answers.
        scale, mean, std, zeros_before: for numbers.
    """

    column: Annotated[str, Meta(pattern=r"\A[a-z]\w{0,63}\Z")]
    form: Literal["tokens", "numbers"]
    positions: Annotated[int, Meta(ge=1, le=limits.SEQUENCE_LENGTH)]
    scale: float = 1.0
    mean: float = 0.0
    std: float = 1.0
    zeros_before: Annotated[int, Meta(ge=0, le=limits.SEQUENCE_LENGTH)] = 0

    def __post_init__(self) -> None:
        if self.scale == 0 or self.std == 0:
            raise ValueError("a scale of recorded inputs is 0")

    @property
    def values(self) -> NDArray[np.float32]:
        """What a network sees for each stored number: float32 [256], computed in float32 step by step."""
        scaled = np.arange(256, dtype=np.float32) / np.float32(self.scale)
        return (scaled - np.float32(self.mean)) / np.float32(self.std)

    def as_fed(self, stored: NDArray[np.uint8]) -> NDArray[Any]:
        """Stored inputs as networks take them.

        Args:
            stored: uint8 [..., length] tokens, or [..., length, input_size] numbers.

        Returns:
            Tokens, uint8 [..., positions], or float32 [..., positions, input_size].
        """
        if self.form == "tokens":
            return stored[..., : self.positions]
        seen = self.values[stored]
        zeros = np.zeros((*seen.shape[:-2], self.zeros_before, seen.shape[-1]), np.float32)
        return np.concatenate([zeros, seen], axis=-2)

    def as_json(self) -> dict[str, Any]:
        """As a manifest records it."""
        return asdict(self)
