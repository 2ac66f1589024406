"""--json prints one object with the documented keys; without it a person gets a table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import edgevsr
from edgevsr import VERBS, cli
from edgevsr.verbs import demo
from tests.conftest import ROOT
from tests.latencies import write_table

#: A command of every verb, and the keys that the contract promises of it.
COMMANDS = {
    "list nets": "nets",
    "list zoo": "zoo",
    "list devices": "devices",
    "list targets": "targets",
    "train sesr-m3 --scale 2 --data frames --out run --steps 1 --batch 1 --patch 8": "",
    "collapse wide.safetensors -o c.onnx": (
        "net scale params_wide params_narrow max_abs_err output"
    ),
    "quantize net.onnx --calib frames --rounding nearest -o q.onnx": (
        "psnr_y_db_float psnr_y_db_int8 psnr_drop_db worst output"
    ),
    "quantize net.onnx --calib frames --data frames --rounding nearest -o q2.onnx": (
        "psnr_y_db_float psnr_y_db_int8 psnr_drop_db worst output"
    ),
    "export int8.onnx --target tflite": "output format bytes sha256 ops inputs outputs",
    "lint int8.tflite --target tflite": "findings errors warnings target operators source",
    "verify int8.tflite --against int8.onnx": (
        "max_abs_err max_lsb_reference max_lsb_runtime psnr_reference_db passed"
    ),
    "evaluate int8.tflite --data frames": "scale images psnr_y_db ssim_y",
    "profile int8.tflite --device ethos-n78-4tops": (
        "kind params gmac gmac_per_hr_pixel file_bytes peak_activation_bytes dram_bytes latency_ms "
        "latency_ms_p90 latency_ms_min fps bound_by met layers"
    ),
    "calibrate --from latencies/latencies.csv -o phone.toml": (
        "output device constants mape spearman cross_scale_mape files"
    ),
    "fit --device ethos-n78-4tops --size 640x360 --scale 2 --fps 1": "fits",
    "fit --device dimensity-8100-nnapi --size 640x360 --scale 2 --fps 30 --design": "fits designs",
    "compare a.json b.json": "latency ratios slowdown_percent met",
    "report a.json int8.tflite net.onnx -o page.html": "output results kinds networks",
    "upscale frames/0.png -o sr.png --net int8.tflite": "frames seconds fps",
    "demo --net int8.onnx --port 0": "address nets phones",
}


@pytest.fixture
def here(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_table(here / "latencies")
    monkeypatch.setattr(demo, "page_files", dict)  # the page itself needs npm
    monkeypatch.setattr(demo.DemoResult, "wait", demo.DemoResult.close)
    for name, device in (("a", "npu-4tops"), ("b", "ethos-n78-4tops")):
        estimate = edgevsr.profile("int8.tflite", device=device).to_json()
        (here / f"{name}.json").write_text(json.dumps(estimate))
    return here


def documented(verb: str) -> set[str]:
    """Return the keys that docs/json.md lists for a verb."""
    text = (ROOT / "docs" / "json.md").read_text("utf-8")
    section = text.split(f"\n## {verb}\n", 1)[1].split("\n## ", 1)[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {key for row in rows for key in re.findall(r"`(\w+)`", row)}


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", COMMANDS)
def test_json_is_one_object_with_the_documented_keys(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main([*command.split(), "--json"]) == 0
    out, err = capfd.readouterr()
    values = json.loads(out, parse_constant=pytest.fail)
    assert err == ""
    assert set(COMMANDS[command].split()) <= set(values)
    verb = command.split()[0]
    if verb == "list":
        assert set(values) == {COMMANDS[command]}
        entries = next(iter(values.values()))
        assert all(entry["name"] for entry in entries)
        assert {key for entry in entries for key in entry} - {"name"} <= documented(verb)
    else:
        assert set(values) == documented(verb)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_person_reads_text_without_colour_codes_in_a_pipe(
    command: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(command.split()) == 0
    out, err = capfd.readouterr()
    assert err == ""
    assert out.strip()
    assert "\x1b" not in out
    assert "None" not in out


def test_every_verb_is_run_here() -> None:
    assert {command.split()[0] for command in COMMANDS} == set(VERBS)
