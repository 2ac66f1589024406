"""What any .tflite file costs: the same as its graph where it has one, and more than it where the
file does what no graph holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.errors import EdgeVsrError, SourceError
from edgevsr.exporters.card import artifact_bytes
from edgevsr.exporters.targets import load_target
from edgevsr.graph.ir import Graph
from edgevsr.profiling.cost_graph import cost_graph, end_elements
from edgevsr.profiling.devices import load_device
from edgevsr.profiling.roofline import estimate
from edgevsr.profiling.work import Structure, graph_work
from edgevsr.sources import open_source
from tests.conftest import SHARED
from tests.graphs import cell_graph, fsrcnn_graph, quantized, sesr_graph
from tests.latencies import known_device

SIZE = (48, 32)
GRAPHS = {
    "sesr": sesr_graph(2, 8, activation="relu"),
    "leaky": sesr_graph(2, 8, activation="leaky"),
    "prelu": sesr_graph(2, 8, activation="prelu"),
    "rgb x4": sesr_graph(2, 8, 4, 3),
    "fsrcnn": fsrcnn_graph(8, 4, 1),
    "cell": cell_graph(),
}


def written(graph: Graph, folder: Path, io: str = "int8") -> Path:
    path = folder / "net.tflite"
    path.write_bytes(artifact_bytes(graph, load_target("tflite"), SIZE, io))
    return path


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("kind", ["int8", "float"])
def test_a_file_asks_for_the_work_of_its_graph(tmp_path: Path, name: str, kind: str) -> None:
    """Operator by operator, the file and the graph read from it cost the same."""
    graph = quantized(GRAPHS[name]) if kind == "int8" else GRAPHS[name]
    path = written(graph, tmp_path, "int8" if kind == "int8" else "float")
    read = open_source(path).graph
    structure = Structure(16, 8, resident_bytes=256)
    _, of_file = graph_work(cost_graph(path), SIZE, structure)
    _, of_graph = graph_work(read, SIZE, structure)
    assert [(w.operations, w.elements) for w in of_file] == [
        (w.operations, w.elements) for w in of_graph
    ]


def test_conversions_at_the_ends_are_counted(tmp_path: Path) -> None:
    """uint8 frames cost a pass in and a pass out, which the graph does not hold."""
    graph = quantized(sesr_graph(2, 8, activation="relu"))
    plain, converted = written(graph, tmp_path), end_elements(written(graph, tmp_path))
    assert converted == ()
    path = written(graph, tmp_path, "uint8")
    pixels = SIZE[0] * SIZE[1]
    assert end_elements(path) == (pixels, 4 * pixels)
    device = known_device()
    ends = estimate(open_source(path).graph, SIZE, device, None, end_elements(path))
    assert ends.latency_ms == pytest.approx(estimate(cost_graph(path), SIZE, device).latency_ms)
    assert plain == path


def test_int8_work_by_hand(tmp_path: Path) -> None:
    """M2 of 8 features, padded to 16 in and 8 out: 5×5·16·8 + 2·3×3·16·8 + 5×5·16·8 MACs a pixel,
    and sums of 8 and 4 channels and a shuffle to 4 pixels to pass over."""
    graph = quantized(sesr_graph(2, 8, activation="relu"))
    counts, work = graph_work(cost_graph(written(graph, tmp_path)), SIZE, Structure(16, 8))
    pixels = SIZE[0] * SIZE[1]
    assert sum(each.operations for each in work) == 2 * (25 + 18 + 25) * 128 * pixels
    assert sum(each.elements for each in work) == (8 + 4 + 4) * pixels
    assert counts.gmac == pytest.approx((25 * 8 + 2 * 9 * 64 + 25 * 32) * pixels / 1e9)


@pytest.mark.shared
@pytest.mark.parametrize(
    "path",
    # Without the data one test stays, to be skipped by its mark.
    sorted((SHARED / "data" / "latency").glob("*/*.tflite")) or [Path("ETDS/M5C16_X2.tflite")],
    ids=lambda path: "/".join(path.parts[-2:]),
)
def test_files_of_others_cost_what_profile_says(path: Path) -> None:
    """Every published file can be costed; where it is also a graph, `profile` gives the same."""
    device, graph = load_device("dimensity-8100-nnapi"), cost_graph(path)
    assert graph.size == (640, 360)
    found = estimate(graph, graph.size, device)
    if "ESPCN" in path.parts:  # TANH and LOGISTIC have a cost, but no place in a graph
        return
    read = open_source(path).graph
    assert estimate(read, graph.size, device, None, end_elements(path)).latency_ms == pytest.approx(
        found.latency_ms
    )


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    """Missing, foreign and empty files: one line."""
    with pytest.raises(SourceError, match="cannot read this network"):
        cost_graph(tmp_path / "none.tflite")
    (tmp_path / "x.tflite").write_bytes(b"not a model at all")
    with pytest.raises(SourceError, match="no TFL3 mark"):
        cost_graph(tmp_path / "x.tflite")


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=4))
def test_a_damaged_file_is_one_clear_line(
    tmp_path_factory: pytest.TempPathFactory, at: int, junk: bytes
) -> None:
    """Wherever bytes were changed, it is costed or refused; never a traceback."""
    folder = tmp_path_factory.getbasetemp()
    source = folder / "whole.tflite"
    if not source.exists():
        graph = quantized(sesr_graph(1, 4, activation="relu"))
        source.write_bytes(artifact_bytes(graph, load_target("tflite"), SIZE, "uint8"))
    data = bytearray(source.read_bytes())
    start = at % len(data)
    data[start : start + len(junk)] = junk
    path = folder / "damaged.tflite"
    path.write_bytes(bytes(data))
    try:
        found = cost_graph(path)
        if found.size is not None:
            estimate(found, found.size, known_device())
    except EdgeVsrError as error:
        assert "\n" not in str(error)  # noqa: PT017 - some damage is harmless
