"""A recurrent net down the road: quantized on clips, exported, verified, evaluated, streamed."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

import edgevsr
from edgevsr import cli
from edgevsr.alignment import Motion
from edgevsr.data.colour import rgb_to_y
from edgevsr.data.degrade import round_u8
from edgevsr.evaluation import read_pictures, super_resolve_y
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.motion import motion_since
from edgevsr.runtime import ahead
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.probe import moving_frames
from tests.clips import decode, read_plane, write_clip
from tests.conftest import ROOT
from tests.recurrent import rsesr_graph

HR = (96, 72)


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "aligned"])
def here(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float net, its int8 form by the command line, and an HR clip of numbered frames."""
    folder = tmp_path_factory.mktemp("recurrent")
    (folder / "net.onnx").write_bytes(onnx_bytes(rsesr_graph(seed=6, aligned=request.param)))
    for name, size in (("hr", HR), ("lr", (48, 36))):
        (folder / name / "pan").mkdir(parents=True)
        for index, frame in enumerate(moving_frames(size, 3, 12)):
            Image.fromarray(frame).save(folder / name / "pan" / f"{index:03}.png")
    command = f"quantize {folder}/net.onnx --calib {folder}/lr -o {folder}/int8.onnx"
    assert cli.main([*command.split(), "--rounding", "nearest"]) == 0
    return folder


def test_the_card_says_how_the_state_goes_on(here: Path, tmp_path: Path) -> None:
    """State in and out share scale and zero point; roles and shapes are the app's contract."""
    path = tmp_path / "net.tflite"
    edgevsr.export(here / "int8.onnx", target="tflite", size=(48, 36), output=path)
    card = json.loads(path.with_suffix(".json").read_text())
    jsonschema.validate(card, json.loads((ROOT / "edgevsr" / "card.schema.json").read_text()))
    assert card["recurrent"] is True
    ends = {io["role"]: io for io in (*card["inputs"], *card["outputs"])}
    assert set(ends) - {"previous_sr"} == {
        "frame", "previous_frame", "state_in:0", "sr", "state_out:0",
    }  # fmt: skip
    if "previous_sr" in ends:
        assert ends["previous_sr"]["shape"] == [1, 36, 48, 4]
    for role in ends:
        assert (ends[role]["dtype"], ends[role]["zero_point"]) == ("int8", -128)
        assert ends[role]["scale"] == pytest.approx(1 / 255)
    assert ends["state_in:0"]["shape"] == ends["state_out:0"]["shape"] == [1, 36, 48, 5]


@pytest.mark.parametrize(("file", "against"), [("int8", "int8"), ("int8", "net"), ("net", "net")])
def test_every_form_is_verified_as_a_stream(
    file: str, against: str, here: Path, tmp_path: Path
) -> None:
    path = tmp_path / "file.tflite"
    edgevsr.export(here / f"{file}.onnx", target="tflite", size=(48, 36), output=path)
    found = edgevsr.verify(path, against=here / f"{against}.onnx").to_json()
    assert found["stream"]["frames"] == 100
    missed = [check["name"] for check in found["checks"] if not check["passed"]]
    # A random net amplifies more than a trained one does: its distance to float is no gate here.
    assert set(missed) <= ({"psnr_source_db"} if against != file else set())


def test_evaluate_gives_clip_figures_of_both_kinds(here: Path, tmp_path: Path) -> None:
    """The float and the int8 form score the clip; the curve is in the CSV."""
    for name in ("net", "int8"):
        table = tmp_path / f"{name}.csv"
        found = edgevsr.evaluate(here / f"{name}.onnx", data=here / "hr", csv=table).to_json()
        (clip,) = found["clips"]
        assert (clip["name"], clip["frames"]) == ("pan", 12)
        assert clip["t_consistency"] is not None
        assert found["t_consistency_note"] is None
        assert found["clips_mean"]["psnr_y_db"] == clip["psnr_y_db"]
        assert [image["name"] for image in found["images"]][-1] == "pan/011.png"
        assert len(table.read_text().splitlines()) == 14


def luma_clip(path: Path, lumas: Sequence[np.ndarray]) -> Path:
    """Write a lossless video of these lumas, gray."""
    return write_clip(
        path,
        codec="ffv1",
        size=(48, 36),
        pts=range(0, 40 * len(lumas), 40),
        values=lambda frame, plane, h, w: lumas[frame] if plane == 0 else np.full((h, w), 128),
    )


def test_upscale_gives_the_bits_that_evaluate_scores(here: Path, tmp_path: Path) -> None:
    """The same LR luma as a video comes out as the frames that evaluate judged."""
    pictures = list(read_pictures(here / "hr", 2))
    lumas = [round_u8(rgb_to_y(picture.lr)) for picture in pictures]
    clip = luma_clip(tmp_path / "in.mkv", lumas)
    out = tmp_path / "out.mkv"
    edgevsr.upscale(clip, output=out, net=here / "int8.onnx", codec="ffv1")
    model = SrModel.open(edgevsr.open_source(here / "int8.onnx").graph)
    for picture, frame in zip(pictures, decode(out), strict=True):
        np.testing.assert_array_equal(read_plane(frame, 0), super_resolve_y(model, picture.lr))


def test_upscale_finds_motion_where_frames_are_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An aligned network does not wait for its motion, and makes the same frames."""
    net = tmp_path / "aligned.onnx"
    net.write_bytes(onnx_bytes(rsesr_graph(aligned=True)))
    frames = [frame[..., 0] for frame in moving_frames((48, 36), 1, 6)]
    clip = luma_clip(tmp_path / "in.mkv", frames)
    threads = []

    def find(*given: Any) -> Motion:
        threads.append(threading.current_thread().name)
        return motion_since(*given)

    monkeypatch.setattr(ahead, "motion_since", find)
    out = tmp_path / "out.mkv"
    edgevsr.upscale(clip, output=out, net=net, codec="ffv1")
    assert threads == ["edgevsr-decode"] * 5
    model = SrModel.open(edgevsr.open_source(net).graph)
    for lr, frame in zip(frames, decode(out), strict=True):
        np.testing.assert_array_equal(read_plane(frame, 0), model.upscale_u8(lr[..., None])[..., 0])


def test_a_cut_is_a_fresh_start(here: Path, tmp_path: Path) -> None:
    """With --reset-on-cut the second scene comes out as if it were alone."""
    scenes = [[f[..., 0] // 4 + level for f in moving_frames((48, 36), 1, 6)] for level in (0, 150)]
    outputs = []
    for name, frames in (("both", [*scenes[0], *scenes[1]]), ("second", scenes[1])):
        clip = luma_clip(tmp_path / f"{name}.mkv", frames)
        out = tmp_path / f"{name}-out.mkv"
        found = edgevsr.upscale(
            clip, output=out, net=here / "int8.onnx", codec="ffv1", reset_on_cut=True
        )
        assert found.cuts == (1 if name == "both" else 0)
        outputs.append([read_plane(frame, 0) for frame in decode(out)][-6:])
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_quantize_measures_the_drop_a_clip(here: Path, tmp_path: Path) -> None:
    found = edgevsr.quantize(
        here / "net.onnx",
        calib=here / "lr",
        data=here / "hr",
        rounding="nearest",
        output=tmp_path / "q.onnx",
    ).to_json()
    assert found["calibration_frames"] == 12
    (clip,) = found["clips"]
    assert clip["name"] == "pan"
    assert clip["psnr_drop_db"] == clip["psnr_y_db_float"] - clip["psnr_y_db_int8"]


def test_host_profile_hands_the_state_on(here: Path) -> None:
    from edgevsr.profiling import host
    from edgevsr.runtime.runners import open_runner

    graph = edgevsr.open_source(here / "int8.onnx").graph
    for runtime in ("litert", "onnxruntime"):
        file = host.host_file(graph, here / "int8.onnx", (48, 36), runtime)  # type: ignore[arg-type]
        assert file.feedback == ((1, 2),)
        runner = open_runner(file.data, runtime, 1)
        runner.resize((48, 36))
        given = []
        run = runner.run
        runner.run = lambda feeds, run=run, given=given: given.append(feeds[2]) or run(feeds)  # type: ignore[method-assign]
        call = host.frame_call(file, runner, (48, 36), 1)
        call()
        call()
        assert len(np.unique(given[0])) == 1
        assert len(np.unique(given[1])) > 1


def test_bad_input_is_one_clear_line(
    here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """No clip to calibrate on, a tile, an unknown degradation: exit 2 and the way out."""
    (tmp_path / "stills").mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        Image.new("RGB", (64, 48)).save(tmp_path / "stills" / name)
    clip = write_clip(tmp_path / "in.mkv", codec="ffv1", size=(48, 36))
    for command, text in (
        (
            f"quantize {here}/net.onnx --calib {tmp_path}/stills -o {tmp_path}/q.onnx",
            "holds no clip",
        ),
        (f"upscale {clip} -o {tmp_path}/o.mkv --net {here}/int8.onnx --tile 16", "in tiles"),
        (f"evaluate {here}/net.onnx --data {here}/hr --degradation blur", "bi, bd"),
    ):
        assert cli.main(command.split()) == 2
        error = capfd.readouterr().err
        assert text in error
        assert error.count("\n") == 1
