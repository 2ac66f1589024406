"""One way to run a file in LiteRT or in onnxruntime: arrays in, arrays out, in its own layout."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np

from edgevsr.errors import DeviceError, SourceError, SpecError, nearest
from edgevsr.graph.ir import Array
from edgevsr.runtime.quiet import quiet_native
from edgevsr.spec import IoSpec

Runtime = Literal["litert", "litert-reference", "onnxruntime"]
RUNTIMES: tuple[Runtime, ...] = ("litert", "litert-reference", "onnxruntime")

_LITERT_MODULES = (
    "ai_edge_litert.interpreter",
    "tflite_runtime.interpreter",
    "tensorflow.lite.python.interpreter",
)


class Runner(Protocol):
    """A file prepared in one runtime. Arrays have the file's own layout and dtype."""

    @property
    def inputs(self) -> tuple[IoSpec, ...]:
        """What `run` takes, in order; None in a shape stands for any size."""

    @property
    def outputs(self) -> tuple[IoSpec, ...]:
        """What `run` returns, in order."""

    @property
    def backend(self) -> str:
        """What really computes, such as XNNPACK."""

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs for these inputs; the GIL is released meanwhile.

        Raises:
            DeviceError: the runtime failed, or an input does not fit.
        """

    def resize(self, size: tuple[int, int]) -> None:
        """Prepare for frames of (width, height).

        Raises:
            DeviceError: the file is tied to another size.
        """


def check_runtime(name: str) -> Runtime:
    """Return the runtime of this name.

    Raises:
        SpecError: there is no such runtime.
    """
    if name not in RUNTIMES:
        raise SpecError(
            f"runtime {name!r}: expected one of {', '.join(RUNTIMES)}{nearest(name, RUNTIMES)}"
        )
    return name


def available_threads() -> int:
    """Return how many processors this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def open_runner(data: bytes | Path, runtime: str, threads: int, where: str = "model") -> Runner:
    """Prepare a .tflite (LiteRT) or .onnx (onnxruntime) file; `where` names bytes in errors.

    Raises:
        SpecError: the runtime is not known, or `threads` is not positive.
        SourceError: the file cannot be read, or the runtime refuses it.
        DeviceError: the runtime is not installed.
    """
    kind = check_runtime(runtime)
    if threads < 1:
        raise SpecError(f"--threads {threads}: expected at least 1")
    if isinstance(data, Path):
        where = str(data)
        try:
            data = data.read_bytes()
        except OSError as error:
            raise SourceError(f"{where}: cannot be read ({error.strerror})") from error
    if kind == "onnxruntime":
        return OnnxRunner(data, threads, where)
    return LiteRtRunner(data, threads, where, reference=kind == "litert-reference")


class LiteRtRunner:
    """A .tflite file in LiteRT: with XNNPACK, or with the reference kernels."""

    def __init__(self, data: bytes, threads: int, where: str, reference: bool) -> None:
        self._where = where
        options: dict[str, Any] = {"model_content": data, "num_threads": threads}
        interpreter_type, resolvers = _litert()
        if reference:
            options["experimental_op_resolver_type"] = resolvers.BUILTIN_REF
        try:
            with quiet_native() as printed:
                self._interpreter = interpreter_type(**options)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise SourceError(
                f"{where}: LiteRT refuses it ({_reason(error, printed.lines)})"
            ) from (error)
        self._reference = reference
        self._describe()

    def _describe(self) -> None:
        self._input_details = self._interpreter.get_input_details()
        self._output_details = self._interpreter.get_output_details()
        self.inputs = tuple(_litert_spec(detail) for detail in self._input_details)
        self.outputs = tuple(_litert_spec(detail) for detail in self._output_details)

    @property
    def backend(self) -> str:
        """ "reference kernels", "XNNPACK" when it took over every operation, or what it left."""
        if self._reference:
            return "reference kernels"
        try:
            operations = self._interpreter._get_ops_details()
        except AttributeError:
            return "LiteRT"
        inside = {
            index for op in operations if op["op_name"] == "DELEGATE" for index in op["outputs"]
        }
        delegated = sum(op["op_name"] == "DELEGATE" for op in operations)
        if not delegated:
            return "built-in kernels"
        made = {int(detail["index"]) for detail in self._output_details}
        return "XNNPACK" if delegated == 1 and made <= inside else "XNNPACK and built-in kernels"

    def resize(self, size: tuple[int, int]) -> None:
        """Prepare for frames of (width, height) by resizing the inputs.

        Raises:
            DeviceError: the outputs do not follow, because the graph holds a constant size.
        """
        width, height = size
        before = self.inputs[0].shape
        ratios = [(width, before[2]), (height, before[1])]
        wanted = [_scaled(spec.shape, ratios) for spec in self.outputs]
        try:
            with quiet_native() as printed:
                for detail, spec in zip(self._input_details, self.inputs, strict=True):
                    self._interpreter.resize_tensor_input(
                        detail["index"], _scaled(spec.shape, ratios)
                    )
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            reason = _reason(error, printed.lines)
            raise DeviceError(f"{self._where}: cannot be resized ({reason})") from error
        self._describe()
        if [list(spec.shape) for spec in self.outputs] != wanted:
            raise DeviceError(f"{self._where}: cannot be resized: its graph holds a constant size")

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs for these inputs.

        Raises:
            DeviceError: LiteRT failed, or an input does not fit.
        """
        try:
            for detail, values in zip(self._input_details, inputs, strict=True):
                self._interpreter.set_tensor(detail["index"], values)
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(d["index"]) for d in self._output_details]
        except (ValueError, RuntimeError) as error:
            raise DeviceError(f"{self._where}: LiteRT failed ({_reason(error, ())})") from error


class OnnxRunner:
    """An .onnx file in onnxruntime, on the CPU."""

    backend = "onnxruntime CPU"

    def __init__(self, data: bytes, threads: int, where: str) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise DeviceError(
                "onnxruntime is not installed; run: pip install onnxruntime"
            ) from error
        self._where = where
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = 4
        # Threads that spin between operations take the processor from decoding and encoding, and
        # on a machine with other work (load 4 on 2 cores) cost a fifth of the speed as well.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Without this, x86 processors that lack VNNI add products in 16 bits that saturate: a
        # convolution of 5x5 taps was off by 35 LSB. With VNNI it changes nothing.
        options.add_session_config_entry("session.x64quantprecision", "1")
        try:
            with quiet_native() as printed:
                self._session = onnxruntime.InferenceSession(
                    data, options, providers=["CPUExecutionProvider"]
                )
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            reason = _reason(error, printed.lines)
            raise SourceError(f"{where}: onnxruntime refuses it ({reason})") from error
        self.inputs = tuple(_onnx_spec(value) for value in self._session.get_inputs())
        self.outputs = tuple(_onnx_spec(value) for value in self._session.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def resize(self, size: tuple[int, int]) -> None:
        """Check that frames of (width, height) fit: a dynamic file needs no preparation.

        Raises:
            DeviceError: the file is fixed to another size.
        """
        height, width = self.inputs[0].shape[2:]
        if width not in (None, size[0]) or height not in (None, size[1]):
            raise DeviceError(f"{self._where}: is fixed to {width}x{height}")

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Return the outputs for these inputs.

        Raises:
            DeviceError: onnxruntime failed, or an input does not fit.
        """
        feeds = {spec.name: values for spec, values in zip(self.inputs, inputs, strict=True)}
        try:
            return cast(list[Array], self._session.run(self._names, feeds))
        except Exception as error:  # onnxruntime's exceptions share no base but Exception
            raise DeviceError(
                f"{self._where}: onnxruntime failed ({_reason(error, ())})"
            ) from error


def _litert() -> tuple[Any, Any]:
    """Return the Interpreter class and resolver types of the first LiteRT that is installed."""
    for name in _LITERT_MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return module.Interpreter, module.OpResolverType
    raise DeviceError(
        "LiteRT is not installed (nor tflite-runtime, nor tensorflow); "
        "run: pip install ai-edge-litert"
    )


def _litert_spec(detail: dict[str, Any]) -> IoSpec:
    parameters = detail["quantization_parameters"]
    quantized = len(parameters["scales"]) == 1
    return IoSpec(
        name=str(detail["name"]),
        role="",
        shape=tuple(int(length) for length in detail["shape"]),
        dtype=np.dtype(detail["dtype"]).name,
        scale=float(parameters["scales"][0]) if quantized else None,
        zero_point=int(parameters["zero_points"][0]) if quantized else None,
    )


def _onnx_spec(value: Any) -> IoSpec:
    shape = tuple(length if isinstance(length, int) else None for length in value.shape)
    dtype = {"tensor(float)": "float32", "tensor(float16)": "float16"}.get(value.type, value.type)
    return IoSpec(name=value.name, role="", shape=shape, dtype=dtype)


def _scaled(shape: Sequence[int | None], ratios: Sequence[tuple[int, int | None]]) -> list[int]:
    """Return an NHWC shape whose width and height follow those of the frame."""
    (width, old_width), (height, old_height) = ratios
    batch, rows, columns, channels = (int(length or 1) for length in shape)
    return [
        batch,
        rows * height // int(old_height or 1),
        columns * width // int(old_width or 1),
        channels,
    ]


def _reason(error: Exception, printed: Sequence[str]) -> str:
    """Return the most telling line of a native failure, short enough for one line."""
    errors = [line for line in printed if line.startswith(("ERROR", "E0"))]
    text = errors[-1] if errors else str(error)
    first = text.strip().splitlines()[0] if text.strip() else type(error).__name__
    return first[:200]
