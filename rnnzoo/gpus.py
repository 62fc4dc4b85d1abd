"""How many GPUs can be seen, without loading PyTorch for it."""

from __future__ import annotations

import ctypes


def gpus_of_driver() -> int:
    """NVIDIA GPUs that the driver shows this process, CUDA_VISIBLE_DEVICES heeded; 0 where there is no driver."""
    count = ctypes.c_int(0)
    try:
        driver = ctypes.CDLL("libcuda.so.1")
        answered = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    except (OSError, AttributeError):
        return 0
    return count.value if answered else 0
