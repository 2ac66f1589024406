"""A finished run becomes shipped files whose cards say what was measured on them."""

from __future__ import annotations

import csv
import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from PIL import Image

import edgevsr
from edgevsr.errors import SourceError
from edgevsr.shipping import main, quantize_shipped, ship
from edgevsr.sources import open_source
from edgevsr.verbs.evaluate import evaluate
from edgevsr.verbs.train import train
from edgevsr.zoo import zoo_names, zoo_path
from tests.e2e.conftest import make_clip


def train_briefly(net: str, scale: int = 2, **options: Any) -> None:
    train(net, scale=scale, steps=2, every=1, batch=1, patch=12, threads=1, **options)


def logged(run: Path, before: int = 0) -> list[list[float]]:
    """Return the learning curve of a run's log, `before` steps having gone before."""
    with (run / "log.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [[before + int(r["step"]), round(float(r["val_psnr_y_db"]), 3)] for r in rows]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two steps on twelve small pictures, and a test set beside it."""
    folder = tmp_path_factory.mktemp("shipping")
    rng = np.random.default_rng(0)
    for name, count in (("photos", 12), ("Set2", 2)):
        (folder / name).mkdir()
        for index in range(count):
            coarse = Image.fromarray(rng.integers(0, 256, (9, 12, 3), np.uint8))
            coarse.resize((96, 72)).save(folder / name / f"{index}.png")
    train_briefly("sesr-m3", data=folder / "photos", out=folder / "run", cache=folder / "cache")
    return folder / "run"


def test_cards_hold_what_evaluate_measures(run: Path, tmp_path: Path) -> None:
    sets = [run.parent / "Set2"]
    assert ship(run, sets, wide=True, folder=tmp_path) == [
        "sesr-m3-x2",
        "sesr-m3-x2-w8a8",
        "sesr-m3-x2-wide",
    ]
    for name, column, lr_y in (
        ("sesr-m3-x2", "float", "float"),
        ("sesr-m3-x2", "8bit", "8bit"),
        ("sesr-m3-x2-w8a8", "int8", "8bit"),
    ):
        card = json.loads((tmp_path / f"{name}.json").read_text())
        measured = evaluate(tmp_path / f"{name}.onnx", data=sets[0], lr_y=lr_y)  # type: ignore[arg-type]
        assert card["psnr_y_db"]["Set2"][column] == round(measured.to_json()["psnr_y_db"], 3)
        assert card["training"]["steps"] == 2
        assert "--steps 2" in card["training"]["command"]
        assert card["training"]["curve"] == logged(run)
    assert open_source(tmp_path / "sesr-m3-x2-wide.safetensors").kind == "trained"
    assert open_source(tmp_path / "sesr-m3-x2-w8a8.onnx").kind == "quantized"


def test_a_shipped_network_is_quantized_anew_on_other_frames(run: Path, tmp_path: Path) -> None:
    sets, zoo = [run.parent / "Set2"], tmp_path / "zoo"
    zoo.mkdir()
    ship(run, sets, wide=False, folder=zoo, calib=run.parent / "photos")
    before = {path.name: path.read_bytes() for path in zoo.iterdir()}
    frames = tmp_path / "some-frames"
    shutil.copytree(run.parent / "Set2", frames / "two")
    shutil.copytree(run.parent / "Set2", frames / "more")
    assert quantize_shipped("sesr-m3-x2", sets, zoo, frames, "minmax") == "sesr-m3-x2-w8a8"
    after = {path.name: path.read_bytes() for path in zoo.iterdir()}
    changed = {name for name, content in after.items() if before.get(name) != content}
    assert changed == {"sesr-m3-x2-w8a8.json", "sesr-m3-x2-w8a8.onnx"}
    card, old = (json.loads(files["sesr-m3-x2-w8a8.json"]) for files in (after, before))
    assert (card["calibration"], card["ranges"]) == ("some-frames", "minmax")
    assert card["training"] == old["training"]
    int8 = tmp_path / "int8.onnx"
    edgevsr.quantize(zoo / "sesr-m3-x2.onnx", calib=frames, ranges="minmax", output=int8)
    score = evaluate(int8, data=sets[0]).to_json()["psnr_y_db"]
    assert card["psnr_y_db"]["Set2"]["int8"] == round(score, 3)
    assert (
        open_source(int8).graph.qparams == open_source(zoo / "sesr-m3-x2-w8a8.onnx").graph.qparams
    )


def test_only_what_has_shipped_is_quantized_anew(run: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="ship its run first"):
        quantize_shipped("sesr-m3-x2", [run.parent / "Set2"], tmp_path)


def test_a_run_trained_for_int8_ships_beside_the_float_net_it_began_from(
    run: Path, tmp_path: Path
) -> None:
    data, cache = run.parent / "photos", run.parent / "cache"
    train_briefly("sesr-m3", data=data, out=tmp_path / "qat", cache=cache, init=run, qat=True)
    sets = [run.parent / "Set2"]
    ship(run, sets, wide=False, folder=tmp_path, calib=run.parent / "photos")
    narrow = (tmp_path / "sesr-m3-x2.onnx").read_bytes()
    ship(tmp_path / "qat", sets, wide=False, folder=tmp_path, calib=run.parent / "photos")
    assert (tmp_path / "sesr-m3-x2.onnx").read_bytes() == narrow
    cards = [json.loads((tmp_path / f"sesr-m3-x2{end}.json").read_text()) for end in ("", "-w8a8")]
    assert [card["training"]["steps"] for card in cards] == [2, 4]
    assert ["--qat" in card["training"]["command"] for card in cards] == [False, True]
    assert cards[1]["calibration"] == "trained"
    with pytest.raises(SourceError, match="trained for int8"):
        quantize_shipped("sesr-m3-x2", sets, tmp_path)
    int8 = tmp_path / "int8.onnx"
    edgevsr.quantize(tmp_path / "qat", output=int8)
    scores = [
        evaluate(file, data=sets[0]).to_json()["psnr_y_db"]
        for file in (int8, tmp_path / "sesr-m3-x2-w8a8.onnx")
    ]
    assert scores[0] == scores[1]
    assert cards[1]["psnr_y_db"]["Set2"]["int8"] == round(scores[1], 3)


def test_a_run_from_a_shipped_network_counts_its_training_too(run: Path, tmp_path: Path) -> None:
    ship(run, [run.parent / "Set2"], wide=True, folder=tmp_path, calib=run.parent / "photos")
    train_briefly(
        "sesr-m3",
        data=run.parent / "photos",
        out=tmp_path / "later",
        cache=run.parent / "cache",
        init=tmp_path / "sesr-m3-x2-wide.safetensors",
    )
    (tmp_path / "zoo").mkdir()
    ship(
        tmp_path / "later",
        [run.parent / "Set2"],
        wide=False,
        folder=tmp_path / "zoo",
        calib=run.parent / "photos",
    )
    training = json.loads((tmp_path / "zoo" / "sesr-m3-x2.json").read_text())["training"]
    assert training["steps"] == 4
    assert training["curve"] == logged(run) + logged(tmp_path / "later", before=2)
    first, second = training["command"].split(" && ")
    assert "--init" not in first
    assert second.endswith("--init sesr-m3-x2-wide.safetensors")


def test_a_curve_is_of_the_networks_own_scale(run: Path, tmp_path: Path) -> None:
    """What a ×2 stage reached is another figure; its steps count."""
    train_briefly(
        "sesr-m3",
        scale=4,
        data=run.parent / "photos",
        out=tmp_path / "times4",
        cache=run.parent / "cache",
        init=run,
    )
    ship(
        tmp_path / "times4",
        [run.parent / "Set2"],
        wide=False,
        folder=tmp_path,
        calib=run.parent / "photos",
    )
    training = json.loads((tmp_path / "sesr-m3-x4.json").read_text())["training"]
    assert training["steps"] == 4
    assert training["curve"] == logged(tmp_path / "times4", before=2)


def test_a_long_curve_is_thinned_between_its_ends(run: Path, tmp_path: Path) -> None:
    """Over two stages; a step at which nothing finite was measured is left out."""
    config = json.loads((run / "run.json").read_text())
    folders = [tmp_path / name for name in ("first", "second")]
    for folder, init in zip(folders, (None, str(folders[0])), strict=True):
        shutil.copytree(run, folder)
        (folder / "run.json").write_text(json.dumps({**config, "steps": 50, "init": init}))
        lines = [f"{step},1,0.1,0.1,{30 + step / 100}" for step in range(1, 51)]
        lines[0] = "1,1,0.1,nan,nan"
        header = (run / "log.csv").read_text().splitlines()[0]
        (folder / "log.csv").write_text("\n".join([header, *lines]) + "\n")
    ship(
        folders[1], [run.parent / "Set2"], wide=False, folder=tmp_path, calib=run.parent / "photos"
    )
    curve = json.loads((tmp_path / "sesr-m3-x2.json").read_text())["training"]["curve"]
    schema = json.loads(resources.files("edgevsr").joinpath("card.schema.json").read_text())
    jsonschema.validate(curve, schema["properties"]["training"]["properties"]["curve"])
    steps = [step for step, _ in curve]
    assert len(curve) == 40
    assert steps == sorted(set(steps))
    assert (curve[0], curve[-1]) == ([2, 30.02], [100, 30.5])
    assert 51 not in steps


def test_a_run_that_is_not_finished_is_not_shipped(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = tmp_path / "half"
    half.mkdir()
    for name in ("run.json", "checkpoint.safetensors"):
        (half / name).write_bytes((run / name).read_bytes())
    log = (run / "log.csv").read_text().splitlines()
    (half / "log.csv").write_text("\n".join(log[:-1]) + "\n")
    with pytest.raises(SourceError, match="step 1 of 2"):
        ship(half, [run.parent / "Set2"], wide=False, folder=tmp_path)
    assert main([str(half), "--sets", str(tmp_path / "absent")]) == 2
    assert "no such test set" in capsys.readouterr().err
    assert not list(tmp_path.glob("sesr-*"))


@pytest.mark.parametrize("name", zoo_names())
def test_every_shipped_card_fits_its_file(name: str) -> None:
    card = json.loads(zoo_path(name).with_suffix(".json").read_text())
    stage = open_source(name)
    assert card["name"] == name
    assert (
        stage.kind == {"wide": "trained", "narrow": "collapsed", "w8a8": "quantized"}[card["form"]]
    )
    assert card["training"]["data"]
    if card["form"] != "wide":
        assert stage.graph.params == card["params"]
        assert (stage.graph.scale, stage.graph.meta["net"]) == (card["scale"], card["net"])


@pytest.mark.shared
@pytest.mark.parametrize("name", [name for name in zoo_names() if not name.endswith("-wide")])
def test_a_card_can_be_measured_again(name: str, shared: Path) -> None:
    """On Set5, or on Vid4's city where the network is recurrent."""
    card = json.loads(zoo_path(name).with_suffix(".json").read_text())
    column = "int8" if card["form"] == "w8a8" else "8bit"
    if card["recurrent"]:
        row, data = card["clips"]["Vid4"]["city"][column], "Vid4/city.mkv"
        measured = evaluate(name, data=shared / "data" / "test" / data).to_json()["clips"][0]
        assert measured["psnr_y_db"] == pytest.approx(row["psnr_y_db"], abs=0.005)
        return
    measured = evaluate(name, data=shared / "data" / "test" / "Set5").to_json()
    assert measured["psnr_y_db"] == pytest.approx(card["psnr_y_db"]["Set5"][column], abs=0.005)


def test_a_recurrent_run_ships_with_its_clips_and_drift(run: Path, tmp_path: Path) -> None:
    """Means over clips, each clip's own figures, and a thousand frames of the last one."""
    (tmp_path / "Clips").mkdir()
    for name in ("first", "second"):
        make_clip(tmp_path / "Clips" / f"{name}.mkv", frames=6)
    train_briefly(
        "rsesr-f6-m1-s4",
        data=run.parent / "photos",
        out=tmp_path / "run",
        cache=run.parent / "cache",
        frames=3,
    )
    ship(tmp_path / "run", [tmp_path / "Clips"], wide=False, folder=tmp_path)
    card = json.loads((tmp_path / "rsesr-f6-m1-s4-x2-w8a8.json").read_text())
    assert card["recurrent"] is True
    assert "--frames 3" in card["training"]["command"]
    clips = card["clips"]["Clips"]
    assert set(clips) == {"first", "second"}
    measured = evaluate(tmp_path / "rsesr-f6-m1-s4-x2-w8a8.onnx", data=tmp_path / "Clips").to_json()
    assert card["psnr_y_db"]["Clips"]["int8"] == round(measured["clips_mean"]["psnr_y_db"], 3)
    for clip in measured["clips"]:
        assert clips[clip["name"]]["int8"]["psnr_y_db"] == round(clip["psnr_y_db"], 4)
    assert card["drift"]["clip"] == "second"
    assert card["drift"]["frames"] == 1000
