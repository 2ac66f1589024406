"""Frames to try a network on: noise, which reaches every code, and picture-like ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def noise_frame(size: tuple[int, int], channels: int, seed: int) -> NDArray[np.uint8]:
    """Return uniform noise (H, W, C) in 0 to 255 for (width, height)."""
    width, height = size
    random = np.random.default_rng(seed)
    return random.integers(0, 256, (height, width, channels), np.uint8)


def picture_frame(size: tuple[int, int], channels: int, seed: int) -> NDArray[np.uint8]:
    """Return a frame (H, W, C) in 0 to 255 with a photograph's spectrum and hard edges.

    Amplitudes fall as 1/f, as those of natural images do; flat discs and fine stripes on top make
    the edges. Channels share most of their content.

    Source: D. J. Field, "Relations between the statistics of natural images and the response
    properties of cortical cells", 1987.
    """
    width, height = size
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    shared = _pink(random, height, width)
    planes = [0.5 + 0.17 * (shared + 0.3 * _pink(random, height, width)) for _ in range(channels)]
    frame = np.stack(planes, axis=2)
    for _ in range(6):
        centre = random.uniform(0, (height, width))
        radius = random.uniform(0.05, 0.25) * min(height, width)
        inside = np.hypot(rows - centre[0], columns - centre[1]) < radius
        frame[inside] = 0.6 * frame[inside] + 0.4 * random.uniform(0, 1, channels)
    period, angle = random.uniform(3, 8), random.uniform(0, np.pi)
    stripes = np.sin((rows * np.sin(angle) + columns * np.cos(angle)) * 2 * np.pi / period)
    frame += np.where(columns < width / 4, 0.1 * np.sign(stripes), 0.0)[..., None]
    return np.clip(frame * 255 + 0.5, 0, 255).astype(np.uint8)


def _pink(random: np.random.Generator, height: int, width: int) -> NDArray[np.float64]:
    """Return a plane of noise with a 1/f spectrum, zero mean and unit deviation."""
    spectrum = np.fft.rfft2(random.normal(size=(height, width)))
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None])
    frequency[0, 0] = 1.0
    spectrum /= frequency
    spectrum[0, 0] = 0.0
    plane = np.fft.irfft2(spectrum, (height, width))
    deviation = float(plane.std())
    return plane / deviation if deviation > 0 else plane


def camera_frames(
    size: tuple[int, int], channels: int, count: int, scale: int
) -> list[NDArray[np.uint8]]:
    """Return frames (H, W, C) as a camera has them: every pixel the mean of scale² of a picture
    that it pans over by fractions of a pixel, to and fro."""
    width, height = size
    fine = moving_frames((width * scale, height * scale), channels, count)
    blocks = (frame.reshape(height, scale, width, scale, channels) for frame in fine)
    return [(block.mean(axis=(1, 3)) + 0.5).astype(np.uint8) for block in blocks]


def moving_frames(size: tuple[int, int], channels: int, count: int) -> list[NDArray[np.uint8]]:
    """Return frames (H, W, C) of one picture that a camera pans over, to and fro."""
    width, height = size
    reach = 24
    picture = picture_frame((width + reach, height + reach), channels, 0)
    frames = []
    for index in range(count):
        turn = 2 * np.pi * index / 60
        x, y = (round(reach / 2 * (1 + wave(turn))) for wave in (np.sin, np.cos))
        frames.append(np.ascontiguousarray(picture[y : y + height, x : x + width]))
    return frames
