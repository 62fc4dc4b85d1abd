"""Looking up the inputs of image models through each model's pixel map."""

import triton
import triton.language as tl


@triton.jit
def tiles(
    images, values, source_pixels, image, position, pixels: tl.constexpr, width: tl.constexpr, columns: tl.constexpr
):
    """Inputs [rows, columns] of one position: `values[pixel]`, background where the map says -1, zeros at position 0.

    Args:
        images: uint8 [N, pixels]. values: float32 [256]. image: int32 [rows].
        source_pixels: int16 [positions - 1, width] of one model. position: 0 is the all-zero tile.
    """
    column = tl.arange(0, columns)
    inside = (column < width) & (position * width + column >= width)
    pixel = tl.load(source_pixels + (position - 1) * width + column, mask=inside, other=-1).to(tl.int32)
    address = image.to(tl.int64)[:, None] * pixels + pixel[None, :]
    intensity = tl.load(images + address, mask=(pixel >= 0)[None, :] & (address >= 0), other=0)
    return tl.where(inside[None, :], tl.load(values + intensity.to(tl.int32)), 0.0)


@triton.jit
def gather_tiles(
    images,
    values,
    source_pixels,
    source,
    live,
    inputs,
    positions: tl.constexpr,
    pixels: tl.constexpr,
    width: tl.constexpr,
    rows: tl.constexpr,
    columns: tl.constexpr,
):
    """The inputs of a batch, float32 [M, T, rows, columns]; grid (M, T).

    Args:
        images: uint8 [N, pixels]. values: float32 [256]. source_pixels: int16 [M, T - 1, width].
        source: int32 [M, rows], image of each row. live: int32 [M]. inputs: out.
        positions: T. width: inputs per position.
    """
    model = tl.program_id(0).to(tl.int64)
    position = tl.program_id(1)
    row = tl.arange(0, rows)
    real = row < tl.load(live + model)
    image = tl.load(source + model * rows + row, mask=real, other=0)
    source_pixels += model * (positions - 1) * width
    tile = tiles(images, values, source_pixels, image, position, pixels, width, columns)
    at = (model * positions + position) * rows * columns + row[:, None] * columns + tl.arange(0, columns)[None, :]
    tl.store(inputs + at, tile, mask=real[:, None])
