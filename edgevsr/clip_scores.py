"""What is measured of clips beside the pictures they are made of: Vid4's crops, and time.

Luma, every frame, no border left out (and 8 pixels); a clip's figure is the mean over its frames,
a test set's the mean over its clips.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.degrade import round_u8
from edgevsr.metrics import flow_distance, psnr_db
from edgevsr.motion import flow, has_flow

CROP = 8
#: The first frames of a clip, where a recurrent network has seen little yet.
FIRST_FRAMES = 5
#: Why a clip's temporal consistency is null.
NO_FLOW = "t_consistency needs OpenCV's optical flow; run: pip install 'edgevsr[video]'"

Luma = NDArray[np.float64]


@dataclass(frozen=True)
class FrameScore:
    """What one frame of a clip scored; a crop that leaves nothing has no PSNR.

    `t_consistency` is None for a clip's first frame and where OpenCV is not installed, RGB figures
    for networks of luma.
    """

    clip: str
    psnr_y_db: float
    psnr_y_db_crop8: float | None
    ssim_y: float
    bicubic_psnr_y_db: float
    t_consistency: float | None
    psnr_rgb_db: float | None = None
    ssim_rgb: float | None = None


@dataclass(frozen=True)
class ClipScore:
    """Means over a clip's frames; PSNRs that are infinite are in no mean."""

    name: str
    frames: tuple[FrameScore, ...]

    def figures(self) -> dict[str, float | None]:
        """Return the means by key: PSNR and SSIM, bicubic's PSNR, and tOF in pixels between frames
        in a row (lower is better); None where no frame has the figure."""
        first = finite_mean([frame.psnr_y_db for frame in self.frames[:FIRST_FRAMES]])
        return {
            "psnr_y_db": self._mean("psnr_y_db"),
            "psnr_y_db_crop8": self._mean("psnr_y_db_crop8"),
            "psnr_y_db_first": first,
            "ssim_y": self._mean("ssim_y"),
            "bicubic_psnr_y_db": self._mean("bicubic_psnr_y_db"),
            "t_consistency": self._mean("t_consistency"),
            "psnr_rgb_db": self._mean("psnr_rgb_db"),
            "ssim_rgb": self._mean("ssim_rgb"),
        }

    def _mean(self, key: str) -> float | None:
        return finite_mean([getattr(frame, key) for frame in self.frames])

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys."""
        return {"name": self.name, "frames": len(self.frames), **self.figures()}


@dataclass(frozen=True)
class ClipMeans:
    """Means over clips, each counting alike."""

    clips: tuple[ClipScore, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys."""
        rows = [clip.figures() for clip in self.clips]
        return {key: finite_mean([row[key] for row in rows]) for key in rows[0]}


class ClipMeter:
    """Scores the frames of clips as they come, each against the one before."""

    def __init__(self) -> None:
        self._before: tuple[Luma, Luma] | None = None

    def score(
        self, clip: str, first: bool, sr_y: Luma, hr_y: Luma, ssim_y: float, bicubic_db: float
    ) -> FrameScore:
        """Return the score of a frame, from unrounded lumas (H, W) in 0 to 255.

        `ssim_y` and `bicubic_db` are the frame's, no border left out.
        """
        before, self._before = self._before, (sr_y, hr_y)
        has_crop = min(hr_y.shape) > 2 * CROP
        return FrameScore(
            clip,
            psnr_db(sr_y, hr_y),
            psnr_db(sr_y, hr_y, CROP) if has_crop else None,
            ssim_y,
            bicubic_db,
            None if first or before is None or not has_flow() else _t_of(before, (sr_y, hr_y)),
        )


def _t_of(before: tuple[Luma, Luma], now: tuple[Luma, Luma]) -> float:
    """Return how far the motion of SR is from that of HR, in pixels."""
    sr, hr = (flow(round_u8(a), round_u8(b)) for a, b in zip(before, now, strict=True))
    return flow_distance(sr, hr)


def score_clips(frames: Sequence[FrameScore]) -> tuple[ClipScore, ...]:
    """Return the scores of frames brought together by clip, in order."""
    clips: dict[str, list[FrameScore]] = {}
    for frame in frames:
        clips.setdefault(frame.clip, []).append(frame)
    return tuple(ClipScore(name, tuple(found)) for name, found in clips.items())


def finite_mean(values: Sequence[float | None]) -> float | None:
    """Return the mean of the finite values, or None where there is none."""
    finite = [value for value in values if value is not None and np.isfinite(value)]
    return float(np.mean(finite)) if finite else None
