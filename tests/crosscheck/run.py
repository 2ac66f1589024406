"""Runs exported files in another package's TensorFlow Lite interpreter and compares the outputs.

    run.py write FOLDER         with edgevsr: writes files, inputs and expected outputs
    run.py judge FOLDER         with tensorflow or tflite_runtime: exits 1 on a difference

int8 files must be equal code for code under the reference kernels; float files within 1e-5. The
judge imports nothing of edgevsr, so it runs in an environment that has only the old runtime.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

FLOAT_TOLERANCE = 1e-5
SIZE = (48, 32)


def write(folder: Path) -> None:
    """Write every kind of file with its inputs and expected outputs as FILE.npz."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from edgevsr.errors import ExportError
    from edgevsr.exporters.targets import lower
    from edgevsr.exporters.tflite import tflite_bytes
    from edgevsr.graph.from_onnx import graph_from_onnx
    from edgevsr.zoo import zoo_names, zoo_path
    from tests.graphs import cell_graph, fsrcnn_graph, quantized, random_graph, sesr_graph

    floats = {
        "sesr-leaky": sesr_graph(),
        "sesr-prelu-x4": sesr_graph(activation="prelu", scale=4),
        "sesr-relu": sesr_graph(activation="relu"),
        "sesr-rgb-x3": sesr_graph(3, channels=3, scale=3),
        "fsrcnn": fsrcnn_graph(),
        "fsrcnn-x3": fsrcnn_graph(scale=3),
        "cell": cell_graph(),
        **{f"random{seed}": random_graph(seed) for seed in range(20)},
    }
    graphs = floats | {f"{name}-int8": quantized(graph) for name, graph in floats.items()}
    for name in zoo_names():
        if zoo_path(name).suffix == ".onnx":
            graphs[name] = graph_from_onnx(zoo_path(name))
    folder.mkdir(parents=True, exist_ok=True)
    for name, graph in graphs.items():
        for target in ("tflite", "tflite-gpu", "ethos-u", "ethos-u85"):
            try:
                lowered = lower(graph, target)
            except ExportError:
                continue
            for io in ("int8", "uint8", "float") if graph.quantized else ("float",):
                stem = folder / f"{name}-{target}-{io}"
                stem.with_suffix(".tflite").write_bytes(tflite_bytes(lowered, SIZE, io))
                _write_vectors(stem.with_suffix(".npz"), graph, io)


def _write_vectors(path: Path, graph: Any, io: str) -> None:
    from edgevsr.graph.reference import run_float, run_int8
    from tests.graphs import IMAGE_ROLES, random_codes, random_inputs

    make, run = (random_codes, run_int8) if graph.quantized else (random_inputs, run_float)
    inputs = make(graph, SIZE)
    tensors = run(graph, inputs)

    def convert(name: str, values: Any) -> Any:
        if not graph.quantized or io == "int8" or graph.roles[name] not in IMAGE_ROLES:
            return values
        if io == "uint8":
            return (values.astype(np.int16) + 128).astype(np.uint8)
        return graph.qparams[name].dequantize(values)

    arrays = {f"in:{name}": convert(name, inputs[name]) for name in graph.inputs}
    arrays |= {f"out:{name}": convert(name, tensors[name]) for name in graph.outputs}
    np.savez(path, **arrays)


def open_interpreter(path: Path) -> tuple[Any, str]:
    """Return an interpreter with reference kernels, of whichever package is there."""
    try:
        from tensorflow import __version__ as version
        from tensorflow.lite.python import interpreter as package

        name = f"tensorflow {version}"
    except ImportError:
        import tflite_runtime
        from tflite_runtime import interpreter as package

        name = f"tflite-runtime {tflite_runtime.__version__}"
    kernels = package.OpResolverType.BUILTIN_REF
    made = package.Interpreter(str(path), experimental_op_resolver_type=kernels)
    made.allocate_tensors()
    return made, name


def difference(path: Path) -> tuple[float, bool, str]:
    """Return (largest difference, whether it is within bounds, the interpreter's name)."""
    vectors = np.load(path.with_suffix(".npz"))
    interpreter, name = open_interpreter(path)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], vectors[f"in:{detail['name']}"])
    interpreter.invoke()
    worst, within = 0.0, True
    for detail in interpreter.get_output_details():
        wanted = vectors[f"out:{detail['name']}"]
        found = interpreter.get_tensor(detail["index"])
        apart = float(np.abs(found.astype(np.float64) - wanted).max())
        integer = found.dtype != np.float32
        same_type = found.dtype == wanted.dtype and found.shape == wanted.shape
        within &= same_type and apart <= (0 if integer else FLOAT_TOLERANCE)
        worst = max(worst, apart)
    return worst, within, name


def judge(folder: Path) -> int:
    """Compare every file; print one line, and the files that differ; return the exit code."""
    paths = sorted(folder.glob("*.tflite"))
    differ, worst, name = [], 0.0, ""
    for path in paths:
        apart, within, name = difference(path)
        if within:
            worst = max(worst, apart if path.stem.endswith("float") else 0.0)
        else:
            differ.append(f"{path.name}: {apart:g}")
    print(
        f"{name}: {len(paths) - len(differ)} of {len(paths)} files equal; float within {worst:.1e}"
    )
    for line in differ:
        print(f"  differs: {line}")
    return 1 if differ or not paths else 0


if __name__ == "__main__":
    verb, where = sys.argv[1], Path(sys.argv[2])
    if verb == "write":
        write(where)
    else:
        sys.exit(judge(where))
