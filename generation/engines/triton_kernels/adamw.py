"""The AdamW update of all models at once."""

import triton
import triton.language as tl


@triton.jit
def adamw(
    weights,
    gradients,
    first_moments,
    second_moments,
    weight_decay,
    schedule,
    step,
    beta_1: tl.constexpr,
    beta_2: tl.constexpr,
    epsilon: tl.constexpr,
    stride: tl.constexpr,
    parameters: tl.constexpr,
    block: tl.constexpr,
):
    """One update, in the order of PyTorch's AdamW; grid (M, ceil(parameters / block)).

    Args:
        weights, first_moments, second_moments: float32 [M, stride], updated. gradients: float32 [M, stride].
        weight_decay: float32 [M]. step: int32 [1], updates done before this one.
        schedule: float32 [steps, 3]: learning rate, learning rate over the first moment's bias correction,
            square root of the second moment's bias correction.
    """
    model = tl.program_id(0).to(tl.int64)
    index = tl.program_id(1) * block + tl.arange(0, block)
    inside = index < parameters
    at = model * stride + index
    now = schedule + 3 * tl.load(step)
    learning_rate = tl.load(now)
    step_size = tl.load(now + 1)
    correction = tl.load(now + 2)
    weight = tl.load(weights + at, mask=inside, other=0.0)
    gradient = tl.load(gradients + at, mask=inside, other=0.0)
    first = tl.load(first_moments + at, mask=inside, other=0.0)
    second = tl.load(second_moments + at, mask=inside, other=0.0)
    weight *= 1.0 - learning_rate * tl.load(weight_decay + model)
    first += (1.0 - beta_1) * (gradient - first)
    second = beta_2 * second + (1.0 - beta_2) * gradient * gradient
    weight -= step_size * first / (tl.sqrt(second) / correction + epsilon)
    tl.store(weights + at, weight, mask=inside)
    tl.store(first_moments + at, first, mask=inside)
    tl.store(second_moments + at, second, mask=inside)
