"""Inputs that a caller gives to a zoo's networks: what fits, and one clear error for what does not."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rnnzoo.errors import UsageError
from rnnzoo.format.recorded_inputs import RecordedInputs
from rnnzoo.networks.network import Network


def checked_inputs(recorded: RecordedInputs | None, network: Network, rows: int, inputs: ArrayLike | Tensor) -> Tensor:
    """Inputs as `rnnzoo.networks.lstm.run` takes them.

    Args:
        recorded: how the zoo stores inputs; where it stores numbers, integers are taken for such and brought to what
            networks see, elsewhere for tokens.
        network: shape of the networks.
        rows: how many networks there are.
        inputs: as `Zoo.run` takes them.

    Returns:
        Tokens, int64 [rows or 1, batch, positions], or float32 [rows or 1, batch, positions, input_size].

    Raises:
        UsageError: there are no networks or no inputs, or inputs of a shape, kind or range that does not fit.
    """
    numbers = recorded if recorded and recorded.form == "numbers" else None
    if rows == 0:
        raise UsageError("There are no networks to run: the selection has 0 rows.")
    tensor = _as_tensor(inputs, network, numbers, rows)
    if tensor.numel() == 0:
        raise UsageError(f"Inputs of shape {tuple(tensor.shape)} are empty: {_fitting(network, numbers, rows)}")
    if not tensor.is_floating_point():
        if numbers:
            tensor = torch.from_numpy(numbers.as_fed(_checked_numbers(tensor.numpy(force=True), numbers, network)))
        else:
            tensor = _checked_tokens(tensor, network.input_size)
    shared_dims = 3 if tensor.is_floating_point() else 2
    fits = tensor.ndim in (shared_dims, shared_dims + 1)
    if not fits or (shared_dims == 3 and tensor.shape[-1] != network.input_size):
        raise UsageError(f"Inputs of shape {tuple(tensor.shape)} do not fit: {_fitting(network, numbers, rows)}")
    if tensor.is_floating_point():
        tensor = tensor.float()
    if tensor.ndim == shared_dims:
        return tensor[None]
    if len(tensor) != rows:
        raise UsageError(f"Inputs for {len(tensor)} networks were given, but there are {rows} rows.")
    return tensor


def _as_tensor(inputs: ArrayLike | Tensor, network: Network, numbers: RecordedInputs | None, rows: int) -> Tensor:
    try:
        tensor = torch.as_tensor(inputs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"Inputs of this kind do not fit ({error}): {_fitting(network, numbers, rows)}") from error
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise UsageError(f"Inputs of dtype {tensor.dtype} do not fit: {_fitting(network, numbers, rows)}")
    return tensor


def _checked_tokens(tokens: Tensor, vocabulary: int) -> Tensor:
    outside = (tokens < 0) | (tokens >= vocabulary)
    if outside.any():
        raise UsageError(
            f"Token {int(tokens[outside][0])} is outside the vocabulary: tokens of these networks are "
            f"0..{vocabulary - 1}."
        )
    return tokens.long()


def _checked_numbers(given: NDArray[np.integer], numbers: RecordedInputs, network: Network) -> NDArray[np.uint8]:
    shape = _stored_shape(numbers, network)
    if given.shape[-2:] != shape or given.min() < 0 or given.max() > 255:
        raise UsageError(
            f"Integer inputs of shape {given.shape} are no {numbers.column}: give numbers 0..255 as "
            f"[batch, {shape[0]}, {shape[1]}], as the column {numbers.column!r} has them."
        )
    return given.astype(np.uint8)


def _stored_shape(numbers: RecordedInputs, network: Network) -> tuple[int, int]:
    return numbers.positions - numbers.zeros_before, network.input_size


def _fitting(network: Network, numbers: RecordedInputs | None, rows: int) -> str:
    whole = "integer tokens [batch, positions]"
    if numbers:
        length, width = _stored_shape(numbers, network)
        whole = f"integer {numbers.column} [batch, {length}, {width}]"
    return (
        f"give {whole} or floats [batch, positions, {network.input_size}], or one set per network with a leading "
        f"[{rows}]."
    )
