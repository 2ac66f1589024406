"""What benchmark programs print, in all its variants, and cut short."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgevsr.errors import DataError, DeviceError, SpecError
from edgevsr.profiling.measured import Latency, LayerTime, MeasuredFile, Slice
from edgevsr.profiling.phones.facts import Heat, heat_from
from edgevsr.profiling.phones.logs import (
    parse_benchmark_model,
    parse_op_profile,
    parse_perf_test,
)
from edgevsr.profiling.phones.record import Record
from edgevsr.profiling.phones.session import Request
from edgevsr.profiling.phones.text import clean, slug
from edgevsr.profiling.phones.tools import BENCHMARK_MODEL, PERF_TEST, Job, tool_for

WARM_UP = "count=15 first=49060 curr=34012 min=32900 max=49060 avg=34825.1 std=3850\n"
RUNS = "count=50 first=32891 curr=33978 min=32641 max=34005 avg=33209.4 std=450"
CLOSING = (
    "Inference timings in us: Init: 855, First inference: 49060, Warmup (avg): 34825.1, "
    "Inference (avg): 33209.4\n"
)
LITERT_2 = """INFO: [./tools/benchmark.h:72]
========== BENCHMARK RESULTS ==========
INFO: [./tools/benchmark.h:73] Model initialization: 5.76 ms
INFO: [./tools/benchmark.h:75] Warmup (first):       2.12 ms
INFO: [./tools/benchmark.h:77] Warmup (avg):         0.95 ms (526 runs)
INFO: [./tools/benchmark.h:79] Inference (avg):      0.93 ms (1054 runs)
INFO: [./tools/benchmark.h:83] Inference (min):      0.91 ms
INFO: [./tools/benchmark.h:85] Inference (max):      1.10 ms
INFO: [./tools/benchmark.h:87] Inference (std):      0.02
INFO: [./tools/benchmark.h:94] Throughput:           197.97 MB/s
Memory Usage:
INFO: [./tools/benchmark.h:104] Init footprint:       4.06 MB
INFO: [./tools/benchmark.h:105] Overall footprint:    7.00 MB
"""
PERF = """Session creation time cost: 0.0102016 s
First inference time cost: 2 ms
Total inference time cost: 0.185739 s
Total inference requests: 100
Average inference time cost: 1.85739 ms
Total inference run time: 0.18581 s
Avg CPU usage: 96 %
Peak working set size: 36696064 bytes
Runs:100
Min Latency: 0.00183404 s
Max Latency: 0.00190312 s
P50 Latency: 0.00185674 s
P90 Latency: 0.00187215 s
P95 Latency: 0.00187393 s
P99 Latency: 0.00190312 s
P999 Latency: 0.00190312 s
"""
OPS = """Operator-wise Profiling Info for Benchmark Initialization:
============================== Run Order ==============================
node type, {first}, avg_ms, %, cdf%, mem KB, times called, name
AllocateTensors, 0.1, 0.1, 100%, 100%, 0, 1, AllocateTensors/0

Operator-wise Profiling Info for Regular Benchmark Runs:
============================== Run Order ==============================
node type, {first}, avg_ms, %, cdf%, mem KB, times called, name
DEPTH_TO_SPACE, 3.1, 3, 25%, 25%, 0.000, 1, [sr, the picture]:1
CONV_2D, 9.1, 9.05, 75%, 100%, 0.000, 1, [head]:0
ADD, 0.1, 0.1, 1%, 100%, 0.000, 1,

============================== Top by Computation Time ==============================
node type, {first}, avg_ms, %, cdf%, mem KB, times called, name
CONV_2D, 9.1, 9.05, 75%, 75%, 0.000, 1, [head]:0

============================== Summary by node type ==============================
node type, count, avg_ms, avg %, cdf %, mem KB, times called
CONV_2D, 1, 9.05, 75%, 75%, 0.000, 1
"""


def test_old_benchmark_model() -> None:
    """The second count line is the timed runs; the profile's sum is not the latency."""
    text = WARM_UP + RUNS + "\n" + CLOSING + "Timings (microseconds): count=50 curr=1 avg=1\n"
    text += "Memory footprint delta from the start of the tool (MB): init=1.5 overall=12.5\n"
    log = parse_benchmark_model(text)
    assert log.latency_ms == Latency(mean=33.2094, min=32.641, max=34.005, std=0.45)
    assert (log.runs, log.init_ms, log.first_ms) == (50, 0.855, 49.06)
    assert log.memory_bytes == int(12.5 * 2**20)
    assert log.complete


def test_new_benchmark_model() -> None:
    """Newer builds add percentiles."""
    log = parse_benchmark_model(f"{WARM_UP}INFO: {RUNS} p5=32700 median=33100 p95=33950\n{CLOSING}")
    assert (log.latency_ms.p50, log.latency_ms.p95, log.latency_ms.p90) == (33.1, 33.95, None)


@pytest.mark.parametrize(
    ("line", "runs", "milliseconds"),
    [("count=7 curr=12000(all same)", 7, 12.0), ("count=1 curr=9000", 1, 9.0)],
)
def test_one_value_is_every_figure(line: str, runs: int, milliseconds: float) -> None:
    """One value for all runs is their median, mean, least and most."""
    log = parse_benchmark_model(f"{WARM_UP}{line}\n{CLOSING}")
    figures = (log.latency_ms.p50, log.latency_ms.mean, log.latency_ms.min, log.latency_ms.max)
    assert figures == (milliseconds,) * 4
    assert log.runs == runs


def test_no_runs_are_no_time() -> None:
    """`count=0` gives no latency, and is not complete."""
    log = parse_benchmark_model(f"{WARM_UP}count=0\n")
    assert (log.runs, log.latency_ms, log.complete) == (0, Latency(), False)


def test_litert_2() -> None:
    """With and without count lines before it, which are finer."""
    log = parse_benchmark_model(LITERT_2)
    assert log.latency_ms == Latency(mean=0.93, min=0.91, max=1.1, std=0.02)
    assert (log.runs, log.init_ms, log.first_ms, log.complete) == (1054, 5.76, 2.12, True)
    assert log.memory_bytes == 7 << 20
    finer = parse_benchmark_model("count=1 curr=9\ncount=1054 avg=932.5 median=931\n" + LITERT_2)
    assert (finer.latency_ms.mean, finer.latency_ms.p50) == (0.9325, 0.931)


def test_older_memory_line() -> None:
    """The older line has one figure."""
    assert parse_benchmark_model("Peak memory footprint (MB): 3.5\n").memory_bytes == 7 << 19


def test_perf_test() -> None:
    """Seconds and milliseconds become milliseconds."""
    log = parse_perf_test(PERF)
    assert log.latency_ms == Latency(
        p50=1.85674, p90=1.87215, p95=1.87393, mean=1.85739, min=1.83404, max=1.90312
    )
    assert (log.runs, log.init_ms, log.first_ms) == (100, 10.2016, 2.0)
    assert (log.memory_bytes, log.complete) == (36_696_064, True)


def test_older_perf_test() -> None:
    """The wording before: "Average time cost", "P50 Latency is … sec"."""
    log = parse_perf_test(
        "Total iterations: 1000\nAverage time cost: 58.8053 ms\nMin Latency is 0.0559777 sec\n"
        "P50 Latency is 0.0587108 sec\nP999 Latency is 0.0623472 sec\n"
    )
    assert (log.runs, log.latency_ms.mean, log.latency_ms.p50) == (1000, 58.8053, 58.7108)
    assert log.complete


@pytest.mark.parametrize("text", [WARM_UP + RUNS + "\n" + CLOSING, LITERT_2])
def test_a_benchmark_log_cut_anywhere_is_not_complete_too_soon(text: str) -> None:
    """Every prefix parses, none before the closing average is whole, no number is cut in two."""
    whole = parse_benchmark_model(text)
    for end in range(len(text) - 1):
        log = parse_benchmark_model(text[:end])
        assert not log.complete or end > text.index("Inference (avg)")
        assert log.latency_ms.mean in (None, whole.latency_ms.mean)


def test_a_perf_test_log_cut_anywhere_is_not_complete() -> None:
    """Its percentiles come last."""
    for end in range(PERF.index("P999")):
        assert not parse_perf_test(PERF[:end]).complete


@pytest.mark.parametrize(
    "line",
    ["count=50 avg=-5", "count=50 avg=1e400", "count=50 min=9 max=3 avg=5"],
)
def test_times_that_cannot_be(line: str) -> None:
    """Negative, infinite or upside down."""
    with pytest.raises(DataError):
        parse_benchmark_model(f"{WARM_UP}{line}\n{CLOSING}")


@pytest.mark.parametrize("first", ["first", "start"])
def test_op_profile(first: str) -> None:
    """The runs' table in run order, in the new and the old header; names may hold commas."""
    assert parse_op_profile(OPS.format(first=first)) == (
        LayerTime("sr, the picture", "DEPTH_TO_SPACE", 3.0),
        LayerTime("head", "CONV_2D", 9.05),
        LayerTime("ADD-2", "ADD", 0.1),
    )


@pytest.mark.parametrize(
    "text",
    ["", "hello", "node type, count, avg_ms, name\n",
     OPS.format(first="first").replace("9.05", "?"),
     OPS.format(first="first").replace("9.05", "-1"), OPS.format(first="x").replace("CONV_2D", "")],
    ids=range(6),
)  # fmt: skip
def test_op_profiles_that_cannot_be_read(text: str) -> None:
    """No table, no number, a negative one, no type."""
    with pytest.raises(DataError):
        parse_op_profile(text)


@given(st.text(max_size=300))
def test_no_text_breaks_a_parser(text: str) -> None:
    """Nonsense gives nothing, or a DataError."""
    for parser in (parse_benchmark_model, parse_perf_test, parse_op_profile):
        for log in (text, f"{WARM_UP}count={text}", f"node type, avg_ms, name\n{text}"):
            try:
                parser(log)
            except DataError:
                continue


@given(st.text(max_size=400))
def test_clean_text_is_one_harmless_line(text: str) -> None:
    """No control character, no escape, no line break, no override of direction; short."""
    cleaned = clean(text)
    assert len(cleaned) <= 200
    assert cleaned == " ".join(cleaned.split())
    assert all(ord(c) >= 32 and not 0x7F <= ord(c) <= 0x9F for c in cleaned)
    assert slug(text).isascii()
    assert slug(text)


def test_heat() -> None:
    """Thousandths or degrees; sensors that are off are passed over; the service stands in."""
    heat = heat_from(
        "36500 cpu-0-0\n41 gpu\n-40000 off\n0 idle\n999999 limit\nx y\n30000 battery", ""
    )
    assert heat == Heat({"cpu-0-0": 36.5, "gpu": 41.0, "battery": 30.0}, None)
    assert heat.hottest == 41.0
    dump = "Thermal Status: 2\n Temperature{mValue=39.5, mType=3, mName=skin, mStatus=2}"
    assert heat_from("", dump) == Heat({"skin": 39.5}, 2)


@pytest.mark.parametrize(
    ("slices", "statuses", "expected"),
    [
        ([], [], None), ([], [0, 0], False), ([], [0, 2], True), ([], [2, 1], False),
        ([10.0, 10.5], [], None), ([10.0, 10.2, 10.4], [], False), ([10.0, 10.2, 11.5], [], True),
        ([10.0, 12.0, 10.1], [0], False), ([10.0, 10.0, 10.0], [0, 1], True),
    ],
)  # fmt: skip
def test_throttled(
    tmp_path_factory: pytest.TempPathFactory, slices: list[float], statuses: list[int],
    expected: bool | None,
) -> None:  # fmt: skip
    """By the phone's own status, or by the last third being a tenth slower than the best."""
    path = tmp_path_factory.getbasetemp()
    record = Record(Request(path, path, BENCHMARK_MODEL, MeasuredFile("net.tflite")))
    record.slices = [Slice(float(index), ms) for index, ms in enumerate(slices)]
    record.statuses = statuses
    assert record.throttled is expected


def test_arguments_of_the_programs() -> None:
    """The flags that each program documents."""
    job = Job("model.tflite", 50, threads=4, delegate="gpu")
    assert BENCHMARK_MODEL.command(job) == [
        "--use_gpu=true", "--graph=model.tflite", "--num_runs=50", "--min_secs=1",
        "--max_secs=120", "--num_threads=4",
    ]  # fmt: skip
    assert PERF_TEST.command(Job("model.onnx", 50, threads=2, delegate="nnapi")) == [
        "-e", "nnapi", "-I", "-s", "-m", "times", "-r", "50", "-x", "2", "model.onnx",
    ]  # fmt: skip
    with pytest.raises(SpecError, match=r"--delegate 'gpuu' \(did you mean 'gpu'\?\)"):
        BENCHMARK_MODEL.command(Job("model.tflite", 1, delegate="gpuu"))


def test_companions_lie_beside_the_program(tmp_path: object) -> None:
    """A delegate's libraries come from beside the program, or the run is refused."""
    from pathlib import Path

    folder = Path(str(tmp_path))
    program = folder / "onnxruntime_perf_test"
    with pytest.raises(DeviceError, match="no such file"):
        tool_for(program)
    program.touch()
    assert tool_for(program) is PERF_TEST
    with pytest.raises(DeviceError, match=r"--delegate qnn: put its libraries \(libQnn\*\.so\)"):
        PERF_TEST.companions(program, "qnn")
    for name in ("libonnxruntime.so", "libQnnHtp.so"):
        (folder / name).touch()
    assert [path.name for path in PERF_TEST.companions(program, "qnn")] == [
        "libQnnHtp.so", "libonnxruntime.so",
    ]  # fmt: skip
    assert [path.name for path in PERF_TEST.companions(program, "cpu")] == ["libonnxruntime.so"]
