"""References where one-frame networks are expected: evaluation and video feed them ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from edgevsr.errors import DataError
from edgevsr.evaluation import Picture, evaluate_model
from edgevsr.nets.references import base, clip_model
from edgevsr.nets.references.clip_model import ClipModel
from edgevsr.nets.references.edvr import Edvr
from edgevsr.nets.references.rrn import Rrn
from edgevsr.nets.references.running import run_clip
from edgevsr.nets.references.zoomingslowmo import ZoomingSlowMo


def model_of(net: base.Reference, name: str, monkeypatch: pytest.MonkeyPatch) -> ClipModel:
    torch.manual_seed(0)
    monkeypatch.setattr(clip_model, "load_reference", lambda *_: net.eval())
    return ClipModel(name, "unused.pth")


def clips(*lengths: int, side: int = 8) -> list[list[np.ndarray]]:
    generator = np.random.default_rng(0)
    return [
        [generator.integers(0, 256, (side, side, 3), np.uint8) for _ in range(length)]
        for length in lengths
    ]


def expected(net: base.Reference, frames: list[np.ndarray], rate: int = 1) -> list[np.ndarray]:
    clip = torch.from_numpy(np.stack(frames).transpose(0, 3, 1, 2).copy()).float() / 255.0
    sr = run_clip(net, clip)[::rate].clamp(0, 1).permute(0, 2, 3, 1)
    return [np.round(frame.numpy() * 255.0) for frame in sr]


@pytest.mark.parametrize(
    ("net", "name"),
    [
        (Edvr(8, 1), "edvr-m"),
        (Rrn(8, 1), "rrn"),
        (ZoomingSlowMo(8, 1, 1), "zooming-slowmo"),
    ],
)
def test_each_frame_gets_its_own_clips_sr(
    net: base.Reference, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_of(net, name, monkeypatch)
    given = clips(6, 5)
    items = [(k, i) for k, clip in enumerate(given) for i in range(len(clip))]
    want = [sr for clip in given for sr in expected(net, clip, model.system.frame_rate)]
    ahead = model.ahead(items, lambda item: given[item[0]][item[1]], lambda item: item[1] == 0)
    seen = []
    for (k, i), sr in zip(ahead, want, strict=True):
        got = model.upscale_u8(given[k][i])
        assert np.abs(got.astype(float) - sr).max() <= 1.0
        seen.append((k, i))
    assert seen == items


def test_items_without_pixels_keep_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Rrn(8, 1), "rrn", monkeypatch)
    (frames,) = clips(3)
    held = (None, frames[0], None, frames[1], frames[2], None)
    items = list(enumerate(held))
    order = []
    for item in model.ahead(items, lambda item: item[1]):
        order.append(item[0])
        if item[1] is not None:
            assert model.upscale_u8(item[1]).shape == (32, 32, 3)
    assert order == [0, 1, 2, 3, 4, 5]


def test_frames_must_be_fed_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Rrn(8, 1), "rrn", monkeypatch)
    with pytest.raises(DataError, match="ahead"):
        model.upscale_u8(np.zeros((8, 8, 3), np.uint8))


def test_a_short_clip_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(Edvr(8, 1), "edvr-m", monkeypatch)
    (frames,) = clips(3)
    with pytest.raises(DataError, match=r"3 frames.*at least 5"):
        list(model.ahead(frames, lambda frame: frame))


def test_evaluation_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Edvr(8, 1)
    model = model_of(net, "edvr-m", monkeypatch)
    given = clips(5, 6, side=48)

    def pictures() -> Iterator[Picture]:
        for k, clip in enumerate(given):
            for i, frame in enumerate(clip):
                yield Picture.of(f"{k}#{i}", frame, 4, i == 0)

    fed = model.ahead(pictures(), lambda p: p.lr, lambda p: p.starts_clip)
    scores = evaluate_model(model, fed)
    assert [image.name for image in scores.images] == [
        f"{k}#{i}" for k, clip in enumerate(given) for i in range(len(clip))
    ]
    assert model.how((12, 13)) == (
        "a window of 5 frames, mirrored at the ends; padded to multiples of 4"
    )


def test_pieces_are_stated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from edgevsr.nets.references.basicvsr import BasicVsr

    model = model_of(BasicVsr(), "basicvsr", monkeypatch)
    assert model.how((320, 180)) == "pieces of up to 52 frames, 10 overlapping"
