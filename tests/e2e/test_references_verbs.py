"""References through the verbs: upscale and evaluate with weights, and the table of the budget."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

import edgevsr
from edgevsr.cli import main
from edgevsr.errors import DataError, SourceError, SpecError
from edgevsr.nets.references import build_reference
from edgevsr.nets.references.catalogue import SYSTEMS

FRAMES, SIDE = 5, 24


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "frvsr.pth"
    torch.save(build_reference("frvsr").state_dict(), path)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "clip.mkv"
    generator = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=25)
        stream.width = stream.height = SIDE
        stream.pix_fmt = "bgr0"
        for _ in range(FRAMES):
            pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def test_a_video_goes_through_a_reference(weights: Path, video: Path, tmp_path: Path) -> None:
    output = tmp_path / "sr.mkv"
    result = edgevsr.upscale(video, output=output, net="frvsr", weights=weights)
    assert result.frames == FRAMES
    assert (result.net, result.runtime) == ("frvsr", "torch")
    assert "state carried" in result.how
    with av.open(str(output)) as container:
        sizes = {(frame.width, frame.height) for frame in container.decode(video=0)}
    assert sizes == {(4 * SIDE, 4 * SIDE)}


def test_a_picture_goes_through_a_reference(weights: Path, tmp_path: Path) -> None:
    picture = tmp_path / "lr.png"
    Image.fromarray(np.zeros((10, 12, 3), np.uint8)).save(picture)
    edgevsr.upscale(picture, output=tmp_path / "sr.png", net="frvsr", weights=weights)
    with Image.open(tmp_path / "sr.png") as sr:
        assert sr.size == (48, 40)


def test_a_clip_is_scored(weights: Path, video: Path) -> None:
    values = edgevsr.evaluate("frvsr", data=video, weights=weights).to_json()
    assert len(values["images"]) == FRAMES
    assert values["scale"] == 4
    assert "state carried" in values["how_resized"]


def test_wrong_use_says_the_way_out(weights: Path, video: Path, tmp_path: Path) -> None:
    output = tmp_path / "sr.mkv"
    with pytest.raises(SpecError, match="--weights"):
        edgevsr.upscale(video, output=output, net="frvsr")
    with pytest.raises(SpecError, match="is no reference"):
        edgevsr.evaluate("sesr-m5-x4", data=video, weights=weights)
    with pytest.raises(SpecError, match="leave out --tile"):
        edgevsr.upscale(video, output=output, net="frvsr", weights=weights, tile=16)
    with pytest.raises(SourceError, match="It is a checkpoint of frvsr"):
        edgevsr.upscale(video, output=output, net="rrn", weights=weights)
    assert not output.exists()


def test_a_picture_is_too_short_for_a_window(tmp_path: Path) -> None:
    path, picture = tmp_path / "tdan.pth", tmp_path / "lr.png"
    torch.save(build_reference("tdan").state_dict(), path)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
    with pytest.raises(DataError, match="at least 5"):
        edgevsr.upscale(picture, output=tmp_path / "sr.png", net="tdan", weights=path)


def test_the_budget_is_listed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in SYSTEMS.keys() - {"espcn", "rrn", "tdan"}:
        monkeypatch.delitem(SYSTEMS, name)
    assert main(["list", "references", "--device", "npu-4tops", "--json"]) == 0
    entries = {e["name"]: e for e in json.loads(capsys.readouterr().out)["references"]}
    rrn = entries["rrn"]
    assert rrn["params"] == 3_364_400
    assert rrn["gmac"] == pytest.approx(193.6, abs=0.05)
    # 4 TOP/s are 2·10¹² MAC/s.
    assert rrn["fps_at_peak"] == pytest.approx(2000 / rrn["gmac"])
    assert rrn["fps"] == pytest.approx(rrn["fps_at_peak"] * rrn["utilisation"])
    assert 0.3 < rrn["utilisation"] <= 1.0
    assert entries["tdan"]["beyond_npus"] == ["deformable convolution"]
    assert all(score["mark"] == "published" for score in rrn["published"])
    assert any(entry["kind"] == "shipped" for entry in entries.values())
    assert main(["list", "references"]) == 0
    assert "deformable convolution" in capsys.readouterr().out
    assert main(["list", "nets", "--device", "npu-4tops"]) == 2
