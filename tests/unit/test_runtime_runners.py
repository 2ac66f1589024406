"""Runners: both runtimes, real delegation, silence, and errors in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgevsr.errors import DeviceError, SourceError, SpecError
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.graph.reference import run_int8
from edgevsr.runtime import runners
from edgevsr.runtime.quiet import quiet_native
from edgevsr.runtime.runners import LiteRtRunner, open_runner
from tests.graphs import fsrcnn_graph, quantized, random_codes, sesr_graph

SIZE = (24, 16)


def test_litert_gives_everything_to_xnnpack() -> None:
    """A deployable net runs in XNNPACK alone; an int8 PRELU is left to the built-in kernels."""
    fast = open_runner(tflite_bytes(quantized(sesr_graph()), SIZE), "litert", 2)
    assert fast.backend == "XNNPACK"
    slow = open_runner(tflite_bytes(quantized(fsrcnn_graph()), SIZE), "litert", 2)
    assert slow.backend == "XNNPACK and built-in kernels"
    judge = open_runner(tflite_bytes(quantized(sesr_graph()), SIZE), "litert-reference", 2)
    assert judge.backend == "reference kernels"


def test_specs_say_what_the_file_takes() -> None:
    """Shapes, dtypes and quantization are those of the file; dynamic sizes are None."""
    graph = quantized(sesr_graph())
    (frame,) = open_runner(tflite_bytes(graph, SIZE), "litert", 1).inputs
    assert (frame.shape, frame.dtype) == ((1, 16, 24, 1), "int8")
    assert frame.zero_point == -128
    assert frame.scale == pytest.approx(1 / 255)
    (sr,) = open_runner(tflite_bytes(graph, SIZE, "uint8"), "litert", 1).outputs
    assert (sr.shape, sr.dtype, sr.zero_point) == ((1, 32, 48, 1), "uint8", 0)
    (frame,) = open_runner(onnx_bytes(graph), "onnxruntime", 1).inputs
    assert (frame.shape, frame.dtype, frame.scale) == ((1, 1, None, None), "float32", None)


def test_resize_follows_the_frame() -> None:
    """A fixed size is changed by resizing the input, and the results are the net's."""
    graph = quantized(sesr_graph(m=3))
    runner = open_runner(tflite_bytes(graph, SIZE), "litert-reference", 1)
    runner.resize((9, 7))
    codes = random_codes(graph, (9, 7))
    (out,) = runner.run([codes["frame"]])
    np.testing.assert_array_equal(out, run_int8(graph, codes)["sr"])


def test_constant_sizes_are_noticed() -> None:
    """What cannot be resized says so: a constant output shape, a fixed .onnx."""
    runner = open_runner(tflite_bytes(quantized(fsrcnn_graph()), SIZE), "litert-reference", 1)
    with pytest.raises(DeviceError, match="cannot be resized"):
        runner.resize((9, 7))
    fixed = open_runner(onnx_bytes(sesr_graph(m=3), SIZE), "onnxruntime", 1)
    fixed.resize(SIZE)
    with pytest.raises(DeviceError, match="fixed to 24x16"):
        fixed.resize((9, 7))


@pytest.mark.parametrize("runtime", ["litert", "litert-reference", "onnxruntime"])
@pytest.mark.parametrize(
    "data", [b"", b"TFL3" * 40, bytes(range(256)), b"\x1c\0\0\0TFL3" + b"\0" * 90]
)
def test_damaged_files_are_errors(runtime: str, data: bytes, tmp_path: Path) -> None:
    """No runtime takes a damaged file, and the error is one line that names it."""
    path = tmp_path / "net.bin"
    path.write_bytes(data)
    with pytest.raises(SourceError, match=r"net\.bin") as caught:
        open_runner(path, runtime, 1)
    assert "\n" not in str(caught.value)


def test_wrong_use_is_an_error(tmp_path: Path) -> None:
    """An unknown runtime names the nearest; no threads, no file and a wrong array are refused."""
    data = tflite_bytes(quantized(sesr_graph(m=3)), SIZE)
    with pytest.raises(SpecError, match="did you mean 'litert'"):
        open_runner(data, "liter", 1)
    with pytest.raises(SpecError, match="at least 1"):
        open_runner(data, "litert", 0)
    with pytest.raises(SourceError, match="cannot be read"):
        open_runner(tmp_path / "none.tflite", "litert", 1)
    with pytest.raises(DeviceError, match="LiteRT failed"):
        open_runner(data, "litert", 1).run([np.zeros((1, 2, 2, 1), np.int8)])
    onnx = open_runner(onnx_bytes(sesr_graph(m=3)), "onnxruntime", 1)
    with pytest.raises(DeviceError, match="onnxruntime failed"):
        onnx.run([np.zeros((1, 3, 4, 4), np.float32)])


def test_litert_missing_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any of the three packages the error says what to install."""
    monkeypatch.setattr(runners, "_LITERT_MODULES", ("no_such_litert",))
    with pytest.raises(DeviceError, match="pip install ai-edge-litert"):
        LiteRtRunner(b"", 1, "model", reference=False)


def test_older_names_are_tried_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is not installed is passed over for the next."""
    installed = runners._LITERT_MODULES[0]
    monkeypatch.setattr(runners, "_LITERT_MODULES", ("no_such_litert", installed))
    data = tflite_bytes(sesr_graph(m=3), SIZE)
    assert open_runner(data, "litert", 1).inputs[0].dtype == "float32"


def test_native_noise_does_not_reach_the_terminal() -> None:
    """Nothing of LiteRT's and onnxruntime's chatter appears on standard error."""
    script = (
        "from tests.graphs import sesr_graph, quantized\n"
        "from edgevsr.runtime.model import SrModel\n"
        "import numpy as np\n"
        "for runtime in ('litert', 'litert-reference', 'onnxruntime'):\n"
        "    model = SrModel.open(quantized(sesr_graph(m=3)), runtime=runtime)\n"
        "    model.upscale_u8(np.zeros((8, 8, 1), np.uint8))\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert done.stdout == ""


def test_quiet_passes_on_what_is_not_native(capfd: pytest.CaptureFixture[str]) -> None:
    """Native log lines are held and kept; what Python printed meanwhile still appears."""
    with quiet_native() as captured:
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"W0000 00:00:1.2 1 x.cc:1] something\nmine\n")
    assert capfd.readouterr().err == "mine\n"
    assert len(captured.lines) == 2
    assert captured.lines[0].startswith("INFO: Created")
