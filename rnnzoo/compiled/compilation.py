"""Whether compiled passes can take the place of PyTorch's operations."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

PADDING = 16
"""Compiled passes go over rows of a multiple of so many numbers."""


def can_compile(*tensors: Tensor) -> bool:
    """Whether all numbers are float32 on the CPU, and Numba is there."""
    fits = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
    return fits and importlib.util.find_spec("numba") is not None
