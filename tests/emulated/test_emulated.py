"""int8 files on emulated Arm: the same bytes as on x86. Opt-in; run tests/emulated/setup.sh."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgevsr.exporters.targets import load_target, lower
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.files import write_json
from edgevsr.graph.ir import Graph
from edgevsr.profiling.measured import read_measured
from edgevsr.sources import open_source
from tests.emulated.emulate import emulate, missing
from tests.graphs import cell_graph, quantized

pytestmark = pytest.mark.emulated


@pytest.fixture(autouse=True)
def _asked_for(request: pytest.FixtureRequest) -> None:
    if "emulated" not in request.config.option.markexpr:
        pytest.skip("device: opt-in, a minute of emulation; run: pytest -m emulated")
    if lack := missing():
        pytest.skip(f"device: {lack}")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "name", ["sesr-m5-x2-w8a8", "sesr-m5-x4-w8a8", "fsrcnn-x2-w8a8", "a recurrent cell"]
)
def test_int8_outputs_equal_those_of_x86(name: str, tmp_path: Path) -> None:
    """Bit for bit, every element; the result is of kind emulated and has no times."""
    graph: Graph = quantized(cell_graph()) if "cell" in name else open_source(name).graph
    model = tmp_path / f"{name.replace(' ', '-')}.tflite"
    model.write_bytes(tflite_bytes(lower(graph, load_target("tflite")), (160, 90), io="int8"))
    measured = emulate(model, tmp_path)
    assert measured.equality is not None
    assert measured.equality.elements >= 160 * 90 * 4
    assert (measured.equality.different, measured.equality.max_abs_diff) == (0, 0.0)
    write_json(tmp_path / "emulated.json", measured.to_json())
    assert read_measured(tmp_path / "emulated.json") == measured
    assert measured.fps is None
