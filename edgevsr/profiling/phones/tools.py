"""The benchmark programs: what each is told, and how what it prints is read.

`benchmark_model` runs .tflite files and `onnxruntime_perf_test` .onnx files; the user brings the
program, built for the phone.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgevsr.errors import DeviceError, SpecError, nearest
from edgevsr.profiling.phones.logs import BenchmarkLog, parse_benchmark_model, parse_perf_test
from edgevsr.spec import Runtime

OPS_FILE = "ops.csv"

_ELF_ABIS = {40: "armeabi-v7a", 183: "arm64-v8a", 62: "x86_64", 3: "x86", 243: "riscv64"}


@dataclass(frozen=True)
class Job:
    """What a benchmark is asked for: at least `runs` frames and `min_s` seconds."""

    model: str
    runs: int
    min_s: float = 1.0
    max_s: float = 120.0
    threads: int | None = None
    delegate: str = "cpu"
    profile_ops: bool = False


@dataclass(frozen=True)
class Tool:
    """One benchmark program: its delegates' arguments, the libraries beside it, its log."""

    name: str
    runtime: Runtime
    delegates: dict[str, tuple[str, ...]]
    libraries: dict[str, str]
    arguments: Callable[[Job], list[str]]
    parse: Callable[[str], BenchmarkLog]
    profiles_ops: bool

    def command(self, job: Job) -> list[str]:
        """Return the arguments for a job.

        Raises:
            SpecError: the program has no such delegate.
        """
        # onnxruntime's program wants its options before the file.
        return [*self._delegate(job.delegate), *self.arguments(job)]

    def companions(self, program: Path, delegate: str) -> list[Path]:
        """Return the libraries beside the program that it needs on the phone.

        Raises:
            SpecError: the program has no such delegate.
            DeviceError: the delegate's libraries are not there.
        """
        self._delegate(delegate)
        found = {
            each
            for key in ("", delegate)
            if key in self.libraries
            for each in program.parent.glob(self.libraries[key])
        }
        if delegate in self.libraries and not found:
            raise DeviceError(
                f"--delegate {delegate}: put its libraries ({self.libraries[delegate]}) beside "
                f"{program.name}"
            )
        return sorted(found)

    def _delegate(self, name: str) -> tuple[str, ...]:
        if name not in self.delegates:
            raise SpecError(
                f"--delegate {name!r}{nearest(name, self.delegates)}: {self.name} takes "
                f"{', '.join(self.delegates)}"
            )
        return self.delegates[name]


def _benchmark_model(job: Job) -> list[str]:
    threads = [] if job.threads is None else [f"--num_threads={job.threads}"]
    profile = [
        "--enable_op_profiling=true",
        "--op_profiling_output_mode=csv",
        f"--op_profiling_output_file={OPS_FILE}",
    ]
    return [
        f"--graph={job.model}",
        f"--num_runs={job.runs}",
        f"--min_secs={job.min_s:g}",
        f"--max_secs={job.max_s:g}",
        *threads,
        *(profile if job.profile_ops else []),
    ]


def _perf_test(job: Job) -> list[str]:
    # A run is so many frames or so long, never both.
    length = ["-m", "duration", "-t", f"{job.min_s:.0f}"] if job.min_s > 1 else ["-m", "times"]
    runs = [] if job.min_s > 1 else ["-r", str(job.runs)]
    threads = [] if job.threads is None else ["-x", str(job.threads)]
    return ["-I", "-s", *length, *runs, *threads, job.model]


BENCHMARK_MODEL = Tool(
    name="benchmark_model",
    runtime="litert",
    delegates={
        "cpu": (),
        "gpu": ("--use_gpu=true",),
        "npu": ("--use_npu=true",),
        "nnapi": ("--use_nnapi=true",),
        "hexagon": ("--use_hexagon=true",),
        "qnn": (
            "--external_delegate_path=libQnnTFLiteDelegate.so",
            "--external_delegate_options=backend_type:htp",
        ),
    },
    libraries={"": "libLiteRt*.so", "qnn": "libQnn*.so", "hexagon": "libhexagon*.so"},
    arguments=_benchmark_model,
    parse=parse_benchmark_model,
    profiles_ops=True,
)
PERF_TEST = Tool(
    name="onnxruntime_perf_test",
    runtime="onnxruntime",
    delegates={
        "cpu": (),
        "xnnpack": ("-e", "xnnpack"),
        "nnapi": ("-e", "nnapi"),
        "qnn": ("-e", "qnn", "-i", "backend_path|libQnnHtp.so"),
    },
    libraries={"": "libonnxruntime*.so", "qnn": "libQnn*.so"},
    arguments=_perf_test,
    parse=parse_perf_test,
    profiles_ops=False,
)


def tool_for(program: Path) -> Tool:
    """Return the program that a file is: onnxruntime's by its name, else `benchmark_model`.

    Raises:
        DeviceError: there is no such file.
    """
    if not program.is_file():
        raise DeviceError(
            f"--benchmark-binary {program}: no such file; it is LiteRT's benchmark_model or "
            "onnxruntime_perf_test, built for the phone (see the README)"
        )
    return tool_named(program.name)


def tool_named(name: str) -> Tool:
    """Return the program of this file name."""
    return PERF_TEST if "onnx" in name or "perf_test" in name else BENCHMARK_MODEL


def check_abi(program: Path, abis: Sequence[str]) -> None:
    """Refuse a program that is built for another processor than the phone's.

    A file that is no ELF binary, such as a script, may run anywhere.

    Raises:
        DeviceError: the phone cannot run it; both ABIs are named.
    """
    with program.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or len(head) < 20 or not abis:
        return
    machine = struct.unpack_from("<H" if head[5] == 1 else ">H", head, 18)[0]
    built_for = _ELF_ABIS.get(machine, f"ELF machine {machine}")
    if built_for not in abis:
        raise DeviceError(
            f"{program.name}: is built for {built_for}, the phone runs {', '.join(abis)}; "
            "get the build for the phone"
        )
