"""Rotation maps against Pillow, pixel for pixel."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from rnnzoo.generation.kinds.rotation import BACKGROUND, rotation_map


def rotated(image: np.ndarray, angle: float) -> np.ndarray:
    sources = rotation_map(angle, len(image))
    return np.where(sources == BACKGROUND, 0, image.ravel()[np.maximum(sources, 0)])


def with_pillow(image: np.ndarray, angle: float) -> np.ndarray:
    return np.asarray(Image.fromarray(image).rotate(angle))


def images(count: int, side: int) -> np.ndarray:
    """Noise without the background's value, so that every pixel that moves shows."""
    return np.random.default_rng(1).integers(1, 256, (count, side, side), dtype=np.uint8)


@pytest.mark.parametrize("angle", [0, 15, 45, 90, 123.4, 180, 270, 311, 359.9, -30.5, 725.1, 1e-12, 90 - 1e-12])
def test_rotation_is_pillows_on_a_hundred_images(angle: float) -> None:
    for image in images(100, 28):
        assert np.array_equal(rotated(image, angle), with_pillow(image, angle))


@settings(max_examples=300, deadline=None)
@given(angle=st.floats(-720, 720), side=st.integers(1, 40))
def test_rotation_is_pillows_for_any_angle_and_size(angle: float, side: int) -> None:
    (image,) = images(1, side)
    assert np.array_equal(rotated(image, angle), with_pillow(image, angle))


@settings(max_examples=100, deadline=None)
@given(quarter=st.integers(-8, 8), away=st.floats(-1e-6, 1e-6))
def test_rotation_is_pillows_next_to_right_angles(quarter: int, away: float) -> None:
    (image,) = images(1, 28)
    angle = 90.0 * quarter + away
    assert np.array_equal(rotated(image, angle), with_pillow(image, angle))


def test_a_map_takes_two_bytes_a_pixel() -> None:
    sources = rotation_map(33.0, 28)
    assert sources.dtype == np.int16
    assert sources.shape == (28, 28)
    assert sources.min() == BACKGROUND
    assert sources.max() < 784
