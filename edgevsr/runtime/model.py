"""A network ready to run on frames of any size, whatever file or graph it came from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgevsr.alignment import moved, unmoved
from edgevsr.errors import DeviceError, SourceError, SpecError
from edgevsr.graph.ir import Array, Graph
from edgevsr.graph.streaming import is_recurrent
from edgevsr.runtime import tiling
from edgevsr.runtime.ahead import MotionAhead
from edgevsr.runtime.frames import FrameCodec, white_of
from edgevsr.runtime.runners import Runner, Runtime, available_threads, check_runtime, open_runner
from edgevsr.runtime.state import (
    PREVIOUS_FRAME,
    PREVIOUS_SR,
    State,
    check_finite,
    check_state,
    check_tied,
)

Size = tuple[int, int]

RESIZED = "input resized"
REEMITTED = "graph re-emitted"

_KEPT_RUNNERS = 4


@dataclass
class _Prepared:
    """A runner for one size (or any), and how its file was brought to that size."""

    runner: Runner
    how_resized: str | None
    codecs: dict[str, FrameCodec]


class SrModel:
    """A network that super-resolves frames (H, W, C); make one with `SrModel.open`.

    Use it from one thread at a time. The GIL is released while the network runs. `ahead` is of
    aligned networks: iterated in another thread, where frames are decoded, it passes on what feeds
    `upscale_u8` and finds the motion on the way (`MotionAhead.watch`); the frames, as arrays, must
    be the very same.
    """

    scale: int
    channels: int
    runtime: Runtime
    threads: int
    how_resized: str | None

    def __init__(
        self,
        graph: Graph,
        file: bytes | None,
        runtime: Runtime,
        threads: int,
        where: str = "the network",
    ) -> None:
        self.graph = graph
        self.scale = graph.scale
        self.channels = graph.channels
        self.runtime = runtime
        self.how_resized = None
        self._file = file
        self._where = where
        self.threads = threads
        self._prepared: OrderedDict[Size | None, _Prepared] = OrderedDict()
        self._tiles: dict[Size, int | None] = {}
        self._align = tiling.alignment(graph)
        self._state: State = {}
        self._state_size: Size | None = None
        self._motion = MotionAhead(graph.scale)
        self.ahead = self._motion.watch if PREVIOUS_SR in graph.roles.values() else None

    @classmethod
    def open(
        cls,
        source: Graph | Path,
        *,
        runtime: str | None = None,
        threads: int | None = None,
        size: Size | None = None,
    ) -> SrModel:
        """Prepare a graph, a .tflite or an .onnx file.

        `runtime` is "litert", "litert-reference" or "onnxruntime"; without it, LiteRT runs
        .tflite files and int8 graphs and onnxruntime runs .onnx files and float graphs. `size` is
        the (width, height) to prepare for at once.

        Raises:
            SourceError: the file cannot be read, is of another kind, holds NaN, or has an int8
                state whose output cannot be fed back.
            SpecError: the runtime is not known.
            DeviceError: the runtime is missing.
        """
        wanted = check_runtime(runtime) if runtime is not None else None
        file: bytes | None = None
        if isinstance(source, Graph):
            graph, natural = source, "litert" if source.quantized else "onnxruntime"
        else:
            graph, file, natural = _read(source)
        where = "the network" if isinstance(source, Graph) else str(source)
        _check_finite(graph, where)
        chosen = wanted or check_runtime(natural)
        if chosen != "onnxruntime":  # there states are float
            check_tied(graph, where)
        if (chosen == "onnxruntime") != (natural == "onnxruntime"):
            file = None  # another runtime than the file's own: its graph is written anew
        count = available_threads() if threads is None else threads
        model = cls(graph, file, chosen, count, where)
        if size is not None:
            model.prepare(size)
        return model

    @property
    def backend(self) -> str:
        """What computes, such as XNNPACK, once a frame has been prepared for."""
        if not self._prepared:
            return self.runtime
        return next(reversed(self._prepared.values())).runner.backend

    def upscale(self, lr: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the SR frame (H * scale, W * scale, C) of an LR frame (H, W, C), both float32 in
        [0, 1]; clipped, not rounded. int8 networks round their input to 8 bits.

        Raises:
            SpecError: the frame has another shape than the network takes, or holds NaN.
            SourceError: the network's output or state is not finite; the state is forgotten.
        """
        lr = np.asarray(lr, np.float32)
        if not np.isfinite(lr).all():
            raise SpecError("frame: holds NaN or infinity; expected values in [0, 1]")
        return self._upscale(lr)

    def upscale_u8(self, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the SR frame (H * scale, W * scale, C) of an LR frame (H, W, C), both uint8.

        Raises:
            SpecError: the frame has another shape or dtype than the network takes.
            SourceError: the network's output or state is not finite; the state is forgotten.
        """
        if lr.dtype != np.uint8:
            raise SpecError(f"frame: expected uint8, got {lr.dtype}")
        return self._upscale(lr)

    def reset(self) -> None:
        """Forget what a recurrent network carries: the next frame is the first of a clip.

        A frame of another size than the one before does so by itself.
        """
        self._state = {}

    @property
    def state(self) -> State:
        """What is carried to the next frame, by role; empty before the first frame and for
        single-image networks. Arrays are not copied.
        """
        return dict(self._state)

    def restore(self, state: Mapping[str, Array]) -> None:
        """Go on from a `state` that this network had before, in the same runtime.

        Raises:
            SpecError: an array is missing, unknown, of another shape or type, or holds NaN.
        """
        codes = self.graph.quantized and not self._nchw
        images = str(self.graph.meta.get("io", "int8")).replace("float", "float32")
        dtypes = ("int8", images) if codes else ("float32", "float32")
        size = check_state(self.graph, self._nchw, *dtypes, state)
        self._state, self._state_size = dict(state), size

    def _upscale(self, lr: Array) -> Array:
        if lr.ndim != 3 or lr.shape[2] != self.channels or 0 in lr.shape:
            raise SpecError(f"frame: expected (H, W, {self.channels}), got {lr.shape}")
        height, width, _ = lr.shape
        lr = np.ascontiguousarray(self._aligned(lr))
        size = (lr.shape[1], lr.shape[0])
        if size not in self._tiles:
            self._tiles[size] = tiling.tile_for(self.graph, size, tiling.available_bytes())
        tile = self._tiles[size]
        sr = tiling.upscale_tiled(self, lr, tile) if tile else self.upscale_whole(lr)
        return sr[: height * self.scale, : width * self.scale]

    def _aligned(self, lr: Array) -> Array:
        """Return the frame grown to sides that the network's blocks divide."""
        rows, columns = (-length % self._align for length in lr.shape[:2])
        return np.pad(lr, ((0, rows), (0, columns), (0, 0)), "edge") if rows or columns else lr

    def upscale_whole(self, lr: Array) -> Array:
        """Return the SR frame of `lr` (H, W, C), uint8 or float32, run in one piece."""
        size = (lr.shape[1], lr.shape[0])
        prepared = self._prepare(size)
        if size != self._state_size:
            self.reset()
            self._state_size = size
        inputs = [
            self._input(name, lr, spec.dtype, prepared)
            for name, spec in zip(self.graph.inputs, prepared.runner.inputs, strict=True)
        ]
        self._state = {}  # a frame that fails leaves nothing behind
        names = (self.graph.roles[name] for name in self.graph.outputs)
        state = dict(zip(names, prepared.runner.run(inputs), strict=True))
        sr, codec = state.pop("sr"), prepared.codecs["sr"]
        frame = codec.decode_u8(sr) if lr.dtype == np.uint8 else codec.decode_float(sr)
        check_finite(self.graph, state, self._where)
        if is_recurrent(self.graph):
            self._state = {**state, PREVIOUS_FRAME: lr}
            if PREVIOUS_SR in self.graph.roles.values():
                self._state[PREVIOUS_SR] = sr
        return frame

    def _input(self, name: str, lr: Array, dtype: str, prepared: _Prepared) -> Array:
        role = self.graph.roles[name]
        if role == "frame":
            return prepared.codecs["frame"].encode(lr)
        if role == PREVIOUS_FRAME:
            return prepared.codecs["frame"].encode(self._state.get(PREVIOUS_FRAME, lr))
        if role == PREVIOUS_SR:
            return self._previous_sr(lr, prepared)
        carried = self._state.get(role.replace("state_in", "state_out"))
        if carried is not None:
            return carried
        shape = self.graph.shape(name, (lr.shape[1], lr.shape[0]))
        if self._nchw:
            shape = (shape[0], shape[3], shape[1], shape[2])
        zero = self.graph.qparams[name].zero_point if dtype == "int8" else 0
        return np.full(shape, zero + (128 if dtype == "uint8" else 0), dtype)

    def _previous_sr(self, lr: Array, prepared: _Prepared) -> Array:
        """Return the SR frame before, as the file gave it, moved to where this frame has it."""
        sr, codecs = self._state.get(PREVIOUS_SR), prepared.codecs
        if sr is None:
            frame = codecs["frame"].encode(lr)
            given = unmoved(frame.transpose(0, 2, 3, 1) if self._nchw else frame, self.scale)
        else:
            starts = self._motion.between(lr, self._state[PREVIOUS_FRAME])
            if sr.dtype.kind == "f":
                # An int8 network's pixels are moved as such, whatever its file takes.
                seen = codecs["sr"].decode_u8 if self.graph.quantized else codecs["sr"].decode_float
                return codecs[PREVIOUS_SR].encode(moved(seen(sr)[None], starts, self.scale)[0])
            given = moved(sr.transpose(0, 2, 3, 1) if self._nchw else sr, starts, self.scale)
        return np.ascontiguousarray(given.transpose(0, 3, 1, 2)) if self._nchw else given

    @property
    def _nchw(self) -> bool:
        return self.runtime == "onnxruntime"

    def prepare(self, size: Size) -> Runner:
        """Return the runner for LR frames of (width, height), in the layout of its own file.

        Raises:
            SourceError: the runtime refuses the file.
        """
        return self._prepare(size).runner

    def _prepare(self, size: Size) -> _Prepared:
        any_size = self.runtime == "onnxruntime" and (self._file is None or self.graph.size != size)
        key = None if any_size else size
        if key not in self._prepared:
            while len(self._prepared) >= _KEPT_RUNNERS:
                self._prepared.popitem(last=False)
            self._prepared[key] = self._make(size)
        self._prepared.move_to_end(key)
        prepared = self._prepared[key]
        self.how_resized = prepared.how_resized or self.how_resized
        return prepared

    def _make(self, size: Size) -> _Prepared:
        runner, how_resized = self._runner(size)
        nchw, white = self._nchw, white_of(self.graph)
        names = (*self.graph.inputs, *self.graph.outputs)
        specs = zip(names, (*runner.inputs, *runner.outputs), strict=True)
        by_role = {self.graph.roles[name]: spec for name, spec in specs}
        images = (role for role in ("frame", PREVIOUS_SR, "sr") if role in by_role)
        codecs = {role: FrameCodec(by_role[role], nchw, white) for role in images}
        return _Prepared(runner, how_resized, codecs)

    def _runner(self, size: Size) -> tuple[Runner, str | None]:
        """Return a runner for `size`, and how its file was brought to that size if it was."""
        if self._file is None:
            return self._emitted(size), None
        own = self.graph.size
        if self.runtime == "onnxruntime" and own not in (None, size):
            return self._emitted(size), REEMITTED
        try:
            runner = open_runner(self._file, self.runtime, self.threads, self._where)
        except SourceError:
            # The reference kernels know fewer operator versions than the fast ones.
            if self.runtime != "litert-reference":
                raise
            return self._emitted(size), REEMITTED
        if self.runtime == "onnxruntime" or own == size:
            return runner, None
        try:
            runner.resize(size)
        except DeviceError:
            return self._emitted(size), REEMITTED
        return runner, RESIZED

    def _emitted(self, size: Size) -> Runner:
        return emit_runner(self.graph, size, self.runtime, self.threads)


def emit_runner(graph: Graph, size: Size, runtime: Runtime, threads: int) -> Runner:
    """Return a runner of the graph written as the file that the runtime takes.

    Raises:
        ExportError: the graph cannot be written for this size.
    """
    if runtime == "onnxruntime":
        from edgevsr.exporters.onnx import onnx_bytes

        return open_runner(onnx_bytes(graph), runtime, threads)
    from edgevsr.exporters.tflite import tflite_bytes

    io = str(graph.meta.get("io", "int8")) if graph.quantized else "float"
    return open_runner(tflite_bytes(graph, size, io), runtime, threads)


def _read(path: Path) -> tuple[Graph, bytes, str]:
    """Return a file's graph, its bytes and the runtime it is made for."""
    suffix = path.suffix.lower()
    if suffix not in (".tflite", ".onnx"):
        raise SourceError(f"{path}: expected a .tflite or .onnx file")
    if suffix == ".tflite":
        from edgevsr.graph.from_tflite import graph_from_tflite

        return graph_from_tflite(path), path.read_bytes(), "litert"
    from edgevsr.graph.from_onnx import graph_from_onnx

    return graph_from_onnx(path), path.read_bytes(), "onnxruntime"


def _check_finite(graph: Graph, where: str) -> None:
    for node in graph.nodes:
        for values in (node.weight, node.bias, node.weight_scale):
            if values is not None and not np.isfinite(values).all():
                raise SourceError(f"{where}: the weights of {node.name!r} hold NaN or infinity")
