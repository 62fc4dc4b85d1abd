"""Inputs that a caller gives to a zoo's networks: what fits, and one clear error for what does not."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from rnnzoo.digits import TILE_PIXELS, TILES, network_inputs
from rnnzoo.errors import UsageError
from rnnzoo.network import Network


def checked_inputs(zoo: str, network: Network, rows: int, inputs: ArrayLike | Tensor) -> Tensor:
    """Inputs as `rnnzoo.lstm.run` takes them.

    Args:
        zoo: kind of zoo; smnist takes integer tiles, which are normalised, all others integer tokens.
        network: shape of the networks.
        rows: how many networks there are.
        inputs: as `Zoo.run` takes them.

    Returns:
        Tokens, int64 [rows or 1, batch, positions], or float32 [rows or 1, batch, positions, input_size].

    Raises:
        UsageError: there are no networks or no inputs, or inputs of a shape, kind or range that does not fit.
    """
    tiled = zoo == "smnist"
    if rows == 0:
        raise UsageError("There are no networks to run: the selection has 0 rows.")
    tensor = _as_tensor(inputs, network, tiled, rows)
    if tensor.numel() == 0:
        raise UsageError(f"Inputs of shape {tuple(tensor.shape)} are empty: {_fitting(network, tiled, rows)}")
    if not tensor.is_floating_point():
        if tiled:
            tensor = torch.from_numpy(network_inputs(_checked_tiles(tensor.numpy(force=True))))
        else:
            tensor = _checked_tokens(tensor, network.input_size)
    shared_dims = 3 if tensor.is_floating_point() else 2
    fits = tensor.ndim in (shared_dims, shared_dims + 1)
    if not fits or (shared_dims == 3 and tensor.shape[-1] != network.input_size):
        raise UsageError(f"Inputs of shape {tuple(tensor.shape)} do not fit: {_fitting(network, tiled, rows)}")
    if tensor.is_floating_point():
        tensor = tensor.float()
    if tensor.ndim == shared_dims:
        return tensor[None]
    if len(tensor) != rows:
        raise UsageError(f"Inputs for {len(tensor)} networks were given, but there are {rows} rows.")
    return tensor


def _as_tensor(inputs: ArrayLike | Tensor, network: Network, tiled: bool, rows: int) -> Tensor:
    try:
        tensor = torch.as_tensor(inputs)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"Inputs of this kind do not fit ({error}): {_fitting(network, tiled, rows)}") from error
    if tensor.is_complex() or tensor.dtype == torch.bool:
        raise UsageError(f"Inputs of dtype {tensor.dtype} do not fit: {_fitting(network, tiled, rows)}")
    return tensor


def _checked_tokens(tokens: Tensor, vocabulary: int) -> Tensor:
    outside = (tokens < 0) | (tokens >= vocabulary)
    if outside.any():
        raise UsageError(
            f"Token {int(tokens[outside][0])} is outside the vocabulary: tokens of these networks are "
            f"0..{vocabulary - 1}."
        )
    return tokens.long()


def _checked_tiles(tiles: NDArray[np.integer]) -> NDArray[np.uint8]:
    if tiles.shape[-2:] != (TILES, TILE_PIXELS) or tiles.min() < 0 or tiles.max() > 255:
        raise UsageError(
            f"Integer inputs of shape {tiles.shape} are no tiles: give pixels 0..255 as "
            f"[batch, {TILES}, {TILE_PIXELS}] (`rnnzoo.digits.to_tiles` cuts images)."
        )
    return tiles.astype(np.uint8)


def _fitting(network: Network, tiled: bool, rows: int) -> str:
    whole = f"integer tiles [batch, {TILES}, {TILE_PIXELS}]" if tiled else "integer tokens [batch, positions]"
    return (
        f"give {whole} or floats [batch, positions, {network.input_size}], or one set per network with a leading "
        f"[{rows}]."
    )
