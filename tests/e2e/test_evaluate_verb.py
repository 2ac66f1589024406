"""`evaluate` on files as a user has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgevsr.errors import DataError, EdgeVsrError, OutputError, SourceError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.runtime.probe import picture_frame
from edgevsr.verbs.evaluate import evaluate
from tests.graphs import quantized, sesr_graph


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "hr"
    folder.mkdir()
    for seed, size in enumerate([(52, 44), (40, 61)]):
        Image.fromarray(picture_frame(size, 3, seed)).save(folder / f"{seed}.png")
    return folder


def test_every_stage_gives_the_contract(tmp_path: Path, data: Path) -> None:
    """Float and QDQ .onnx and a .tflite of a fixed size score, and the int8 ones agree."""
    graph = sesr_graph(m=3)
    coded = quantized(graph)
    (tmp_path / "float.onnx").write_bytes(onnx_bytes(graph))
    (tmp_path / "qdq.onnx").write_bytes(onnx_bytes(coded))
    (tmp_path / "int8.tflite").write_bytes(tflite_bytes(coded, (64, 48)))
    scores = {}
    for name, runtime in (
        ("float.onnx", "onnxruntime"),
        ("qdq.onnx", "litert"),
        ("int8.tflite", "litert"),
    ):
        found = evaluate(tmp_path / name, data=data, threads=1).to_json()
        json.dumps(found, allow_nan=False)
        assert found["runtime"] == runtime
        assert found["scale"] == 2
        assert [image["name"] for image in found["images"]] == ["0.png", "1.png"]
        assert set(found["images"][0]) == {
            "name", "psnr_y_db", "ssim_y", "psnr_rgb_db", "ssim_rgb", "bicubic_psnr_y_db"
        }  # fmt: skip
        psnr = np.mean([image["psnr_y_db"] for image in found["images"]])
        assert found["psnr_y_db"] == pytest.approx(psnr)
        assert 0 < found["ssim_y"] < 1
        scores[name] = found
    assert scores["int8.tflite"]["how_resized"] == "input resized"
    assert scores["float.onnx"]["how_resized"] is None
    assert scores["qdq.onnx"]["psnr_y_db"] == scores["int8.tflite"]["psnr_y_db"]


def test_lr_y_changes_the_score_of_a_float_net(tmp_path: Path, data: Path) -> None:
    """Both ways of feeding luma run, and differ."""
    path = tmp_path / "float.onnx"
    path.write_bytes(onnx_bytes(sesr_graph(m=3)))
    rounded = evaluate(path, data=data).to_json()
    exact = evaluate(path, data=data, lr_y="float").to_json()
    assert (rounded["lr_y"], exact["lr_y"]) == ("8bit", "float")
    assert rounded["psnr_y_db"] != exact["psnr_y_db"]


def test_csv_is_written_once(tmp_path: Path, data: Path) -> None:
    """--csv writes the table, and an existing file needs force."""
    path, table = tmp_path / "float.onnx", tmp_path / "out" / "scores.csv"
    path.write_bytes(onnx_bytes(sesr_graph(m=3)))
    found = evaluate(path, data=data, csv=table)
    rows = table.read_text().splitlines()
    assert len(rows) == 4
    assert float(rows[1].split(",")[1]) == pytest.approx(
        found.evaluation.images[0].psnr_y_db, abs=1e-5
    )
    with pytest.raises(OutputError, match="exists already"):
        evaluate(path, data=data, csv=table)
    evaluate(path, data=data, csv=table, force=True)


def test_bad_input_is_one_clear_line(tmp_path: Path, data: Path) -> None:
    """A wrong kind of file, an empty folder, small images, NaN weights, unknown options."""
    good = tmp_path / "float.onnx"
    good.write_bytes(onnx_bytes(sesr_graph(m=3)))
    empty, small, nan = tmp_path / "empty", tmp_path / "small", tmp_path / "nan.onnx"
    empty.mkdir()
    small.mkdir()
    Image.fromarray(picture_frame((15, 40), 3, 0)).save(small / "tiny.png")
    poisoned = sesr_graph(m=3)
    bias = poisoned.nodes[0].bias
    assert bias is not None
    bias[0] = np.nan
    nan.write_bytes(onnx_bytes(poisoned))
    cases: list[tuple[type[EdgeVsrError], str, Path, Path, dict[str, str]]] = [
        (SourceError, "0.png", data / "0.png", data, {}),
        (SourceError, "none.onnx", tmp_path / "none.onnx", data, {}),
        (DataError, "holds no image", good, empty, {}),
        (DataError, "tiny.png", good, small, {}),
        (EdgeVsrError, "NaN", nan, data, {}),
        (SpecError, "runtime", good, data, {"runtime": "tvm"}),
        (SpecError, "lr-y", good, data, {"lr_y": "10bit"}),
    ]
    for error, text, source, folder, options in cases:
        with pytest.raises(error, match=text) as caught:
            evaluate(source, data=folder, **options)  # type: ignore[arg-type]
        assert "\n" not in str(caught.value)
