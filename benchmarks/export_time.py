"""Times `edgevsr export` against the TensorFlow converter on the same network.

    python benchmarks/export_time.py --tensorflow-python /path/to/env/bin/python [--json]

The network is a collapsed SESR-M5 ×2 with random weights. Ours counts everything from the collapsed
.onnx on disk to the .tflite and its card on disk. TensorFlow's counts from a traced tf.Module in
memory to the bytes of the file; building and tracing are left out. Imports are in neither, and both
are warm: best of several runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

RUNS = 5
WIDTHS = (5, 3, 3, 3, 3, 3, 5)
SIZES = ((640, 360), (1920, 1080))


def best_ms(work: Callable[[], Any], runs: int = RUNS) -> float:
    """Return the shortest of several runs after one that warms up."""
    work()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return min(times)


def make_weights(seed: int = 0) -> list[tuple[Any, Any]]:
    """Return SESR-M5's (OHWI weights, bias) a convolution, and the same in either process."""
    rng = np.random.default_rng(seed)
    channels = [1, 16, 16, 16, 16, 16, 16, 4]
    found = []
    for k, fan_in, out in zip(WIDTHS, channels[:-1], channels[1:], strict=True):
        weight = rng.normal(0, 0.6 / np.sqrt(k * k * fan_in), (out, k, k, fan_in))
        found.append((weight.astype(np.float32), rng.normal(0, 0.05, out).astype(np.float32)))
    return found


def time_tensorflow(size: tuple[int, int]) -> dict[str, Any]:
    """Return the converter's time and size for a float SESR-M5; runs where tensorflow is."""
    import tensorflow as tf

    weights = make_weights()
    width, height = size

    class Sesr(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((1, height, width, 1), tf.float32)])
        def __call__(self, frame: Any) -> Any:
            layers = iter(weights)

            def conv(x: Any) -> Any:
                weight, bias = next(layers)
                return tf.nn.conv2d(x, weight.transpose(1, 2, 3, 0), 1, "SAME") + bias

            first = h = tf.nn.leaky_relu(conv(frame), 0.1)
            for _ in range(5):
                h = tf.nn.leaky_relu(conv(h), 0.1)
            return tf.nn.depth_to_space(conv(h + first) + frame, 2)

    net = Sesr()
    function = net.__call__.get_concrete_function()
    data = b""

    def convert() -> None:
        nonlocal data
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], net)
        data = converter.convert()

    elapsed_ms = best_ms(convert, runs=3)
    return {"ms": elapsed_ms, "bytes": len(data), "version": tf.__version__}


def time_edgevsr(size: tuple[int, int], folder: Path) -> dict[str, Any]:
    """Return our time and size for the same network, from .onnx to .tflite with its card."""
    import edgevsr
    from edgevsr.exporters.onnx import onnx_bytes
    from edgevsr.graph.ir import Graph, Node, TensorSpec

    nodes, tensors = [], {"frame": TensorSpec(1)}
    weights = make_weights()
    x = first = "frame"
    for index, (weight, bias) in enumerate(weights):
        if index == len(weights) - 1:
            nodes.append(Node("add", "long", (x, first), "long"))
            tensors["long"], x = TensorSpec(16), "long"
        conv = f"conv{index}"
        nodes.append(Node("conv2d", conv, (x,), conv, {"groups": 1}, weight, bias))
        tensors[conv], x = TensorSpec(len(bias)), conv
        if index < len(weights) - 1:
            x = f"act{index}"
            nodes.append(Node("leaky_relu", x, (conv,), x, {"slope": 0.1}))
            tensors[x] = TensorSpec(16)
        first = x if index == 0 else first
    nodes.append(Node("add", "skip", (x, "frame"), "skip"))
    nodes.append(Node("depth_to_space", "sr", ("skip",), "sr", {"block": 2}))
    tensors |= {"skip": TensorSpec(4), "sr": TensorSpec(1, (2, 1))}
    roles = {"frame": "frame", "sr": "sr"}
    graph = Graph(("frame",), ("sr",), tuple(nodes), tensors, roles, {"net": "sesr-m5"})
    source, output = folder / "sesr.onnx", folder / "sesr.tflite"
    source.write_bytes(onnx_bytes(graph))

    def export() -> None:
        edgevsr.export(source, target="tflite", size=size, output=output, force=True)

    elapsed_ms = best_ms(export)
    return {"ms": elapsed_ms, "bytes": output.stat().st_size, "version": edgevsr.__version__}


def compare(python: str) -> list[dict[str, Any]]:
    """Return one row a frame size: both times and their ratio."""
    rows = []
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            ours = time_edgevsr(size, Path(folder))
        command = [python, __file__, "--tensorflow-child", f"{size[0]}x{size[1]}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        theirs = json.loads(done.stdout.splitlines()[-1])
        ratio = theirs["ms"] / ours["ms"]
        rows.append({"size": size, "edgevsr": ours, "tensorflow": theirs, "ratio": ratio})
    return rows


def main() -> int:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tensorflow-python", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--tensorflow-child", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.tensorflow_child:
        width, height = map(int, arguments.tensorflow_child.split("x"))
        print(json.dumps(time_tensorflow((width, height))))
        return 0
    rows = compare(arguments.tensorflow_python)
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return 0
    for row in rows:
        ours, theirs = row["edgevsr"], row["tensorflow"]
        print(
            f"SESR-M5 x2 float, {row['size'][0]}x{row['size'][1]}: "
            f"edgevsr {ours['version']} {ours['ms']:.1f} ms ({ours['bytes']} bytes), "
            f"TensorFlow {theirs['version']} {theirs['ms']:.1f} ms ({theirs['bytes']} bytes): "
            f"{row['ratio']:.1f}x"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
