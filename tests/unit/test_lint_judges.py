"""The facts in export/*.toml judged by the programs they speak of: LiteRT, Vela, onnxruntime."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from ai_edge_litert import schema_py_generated as schema
from onnx import TensorProto, helper, numpy_helper

import edgevsr
from edgevsr.exporters.flatbuffer import TfliteFile
from edgevsr.exporters.targets import load_target
from edgevsr.profiling.devices import load_device
from edgevsr.profiling.vela import compile_with_vela, target_of
from tests.litert import open_tflite

N, C = 8, 4
SHAPE = (1, N, N, C)


def options(kind: str, **values: Any) -> Any:
    made = getattr(schema, f"{kind}T")()
    for name, value in values.items():
        setattr(made, name, value)
    return made


class OneOperator:
    """A .tflite of one operator in int8 or float32."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self.int8 = dtype, dtype is np.int8
        self.file = TfliteFile("one operator")

    def tensor(self, name: str, shape: Any, dtype: Any, quant: Any = (0.02, -3)) -> int:
        scale, zero = (None, 0) if dtype is np.float32 else quant
        return self.file.tensor(name, shape, dtype, None, scale, zero)

    def weight(self, *shape: int) -> Any:
        values = np.ones(shape, self.dtype)
        return self.file.tensor("w", shape, self.dtype, values, 0.01 if self.int8 else None)

    def bias(self, count: int) -> int:
        kind = np.int32 if self.int8 else np.float32
        scale = 0.0002 if self.int8 else None
        return self.file.tensor("b", (count,), kind, np.zeros(count, kind), scale)

    def ints(self, values: Any) -> int:
        array = np.array(values, np.int32)
        return self.file.tensor(f"k{len(self.file._graph.tensors)}", array.shape, np.int32, array)

    def build(
        self, name: str, rest: Any = (), *, count: int = 1, out: Any = SHAPE, first: bool = False,
        option: Any = None, version: tuple[int, int] = (2, 1), quant: Any = (0.02, -3),
        types: Any = None,
    ) -> bytes:  # fmt: skip
        source, made = types or (self.dtype, self.dtype)
        inputs = [self.tensor(f"x{i}", SHAPE, source) for i in range(count)]
        output = self.tensor("y", out, made, quant)
        order = [*rest, *inputs] if first else [*inputs, *rest]
        self.file.operator(name, version[0] if self.int8 else version[1], order, output, option)
        return self.file.finish({f"x{i}": index for i, index in enumerate(inputs)}, {"y": output})


def _convolution(f: OneOperator, name: str) -> bytes:
    o = options("Conv2DOptions", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1)
    return f.build(name, [f.weight(C, 3, 3, C), f.bias(C)], option=o, version=(3, 1))


def _depthwise(f: OneOperator, name: str) -> bytes:
    o = options(
        "DepthwiseConv2DOptions", strideW=1, strideH=1, dilationWFactor=1, dilationHFactor=1,
        depthMultiplier=1,
    )  # fmt: skip
    return f.build(name, [f.weight(1, 3, 3, C), f.bias(C)], option=o, version=(3, 1))


def _deconvolution(f: OneOperator, name: str) -> bytes:
    o, rest = options("TransposeConvOptions", strideW=2, strideH=2), [f.ints([1, 16, 16, C])]
    rest.append(f.weight(C, 2, 2, C))
    return f.build(name, rest, out=(1, 16, 16, C), first=True, option=o)


def _resize(f: OneOperator, name: str) -> bytes:
    kind = "ResizeBilinear" if "BILINEAR" in name else "ResizeNearestNeighbor"
    o = options(f"{kind}Options")
    return f.build(name, [f.ints([16, 16])], out=(1, 16, 16, C), option=o)


def _reshape(f: OneOperator, name: str) -> bytes:
    o = options("ReshapeOptions", newShape=[1, N * N, C])
    return f.build(name, [f.ints([1, N * N, C])], out=(1, N * N, C), option=o, version=(1, 1))


def _slice(f: OneOperator, name: str) -> bytes:
    rest = [f.ints([0, 0, 0, 0]), f.ints([1, N, N, 2]), f.ints([1, 1, 1, 1])]
    return f.build(name, rest, out=(1, N, N, 2), option=options("StridedSliceOptions"))


def _simple(kind: str | None = None, **values: Any) -> Callable[[OneOperator, str], bytes]:
    """Return how to build an operator of activations alone; keys of `build` go there."""
    keys = {key: values.pop(key) for key in ("count", "out", "version", "quant") if key in values}

    def build(f: OneOperator, name: str) -> bytes:
        option = None if kind is None else options(f"{kind}Options", **values)
        return f.build(name, option=option, **keys)

    return build


OPERATORS: dict[str, Callable[[OneOperator, str], bytes]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _deconvolution,
    "ADD": _simple("Add", count=2),
    "SUB": _simple("Sub", count=2),
    "MUL": _simple("Mul", count=2),
    "MAXIMUM": _simple("MaximumMinimum", count=2),
    "MINIMUM": _simple("MaximumMinimum", count=2),
    "RELU": _simple(),
    "RELU6": _simple(),
    "LEAKY_RELU": _simple("LeakyRelu", alpha=0.1),
    "PRELU": lambda f, name: f.build(name, [f.weight(1, 1, C)], version=(1, 1)),
    "TANH": _simple(quant=(1 / 128, 0)),
    "LOGISTIC": _simple(quant=(1 / 256, -128)),
    "CONCATENATION": _simple("Concatenation", count=2, axis=3, out=(1, N, N, 2 * C)),
    "DEPTH_TO_SPACE": _simple("DepthToSpace", blockSize=2, out=(1, 16, 16, 1), version=(1, 1)),
    "SPACE_TO_DEPTH": _simple("SpaceToDepth", blockSize=2, out=(1, 4, 4, 4 * C)),
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "RESHAPE": _reshape,
    "STRIDED_SLICE": _slice,
}


def _cases() -> Iterator[tuple[str, Any]]:
    for name in OPERATORS:
        yield name, np.int8
        yield name, np.float32


@pytest.mark.parametrize(("name", "dtype"), [*_cases()])
def test_xnnpack_takes_what_the_target_says_and_nothing_else(name: str, dtype: Any) -> None:
    """LiteRT itself says whether it handed the operator to XNNPACK."""
    facts = load_target("tflite").lint
    assert facts is not None
    interpreter = open_tflite(OPERATORS[name](OneOperator(dtype), name), reference=False)
    delegated = any(op["op_name"] == "DELEGATE" for op in interpreter._get_ops_details())
    assert delegated == (name in (facts.int8 if dtype is np.int8 else facts.float))


VELA_CASES = ("DEPTH_TO_SPACE", "SPACE_TO_DEPTH", "PRELU", "STRIDED_SLICE", "RESHAPE", "TANH")


@pytest.mark.parametrize("device", ["ethos-u55-256", "ethos-u85-1024"])
def test_vela_leaves_to_the_cpu_what_lint_says(device: str, tmp_path: Path) -> None:
    """One file of several operators side by side: the linter's errors are Vela's CPU operators."""
    f = OneOperator(np.int8)
    ends: tuple[dict[str, int], dict[str, int]] = ({}, {})
    for name in VELA_CASES:
        one = OneOperator(np.int8)
        one.file, before = f.file, len(f.file._graph.tensors)
        OPERATORS[name](one, name)
        for index in range(before, len(f.file._graph.tensors)):
            tensor = f.file._graph.tensors[index]
            tensor.name = f"{name}_{tensor.name.decode()}".encode()
            for end, prefix in zip(ends, ("x", "y"), strict=True):
                if tensor.name.startswith(f"{name}_{prefix}".encode()):
                    end[tensor.name.decode()] = index
    path = tmp_path / "several.tflite"
    path.write_bytes(f.file.finish(*ends))
    profile = load_device(device)
    found = compile_with_vela(path.read_bytes(), profile)
    report = edgevsr.lint(path, target=target_of(profile))
    errors = {each.operator for each in report.findings if each.severity == "error"}
    assert errors == {each.operator for each in found.cpu_operators}
    assert errors == {"DEPTH_TO_SPACE", "SPACE_TO_DEPTH"}


@pytest.mark.shared
@pytest.mark.parametrize("name", ["ECBSR/M4C16_X2", "ESPCN/X2", "FSRCNN/X2"])
def test_vela_agrees_on_files_of_others(name: str, shared: Path) -> None:
    path = shared / "data" / "latency" / f"{name}.tflite"
    found = compile_with_vela(path.read_bytes(), load_device("ethos-u55-256"))
    report = edgevsr.lint(path, target="ethos-u")
    errors = [each.operator for each in report.findings if each.severity == "error"]
    assert errors == [each.operator for each in found.cpu_operators]


ONNX_OPERATORS: dict[str, dict[str, Any]] = {
    "Conv": {"weight": (C, C, 3, 3), "pads": [1, 1, 1, 1]},
    "ConvTranspose": {"weight": (C, C, 2, 2), "strides": [2, 2]},
    "Relu": {},
    "LeakyRelu": {"alpha": 0.1},
    "PRelu": {"weight": (C, 1, 1)},
    "Add": {"count": 2},
    "Mul": {"count": 2},
    "Sub": {"count": 2},
    "Concat": {"count": 2, "axis": 1},
    "DepthToSpace": {"blocksize": 2},
    "SpaceToDepth": {"blocksize": 2},
    "Sigmoid": {},
    "Tanh": {},
    "Transpose": {"perm": [0, 2, 3, 1]},
}


def qdq(name: str, count: int = 1, weight: Any = None, zero: int = -3, **attributes: Any) -> Any:
    """Return an ONNX file with one operator between DequantizeLinear and QuantizeLinear."""
    values = {"s": np.float32(0.02), "z": np.int8(zero)}
    nodes, inputs, names = [], [], [f"d{i}" for i in range(count)]
    for i in range(count):
        inputs.append(helper.make_tensor_value_info(f"x{i}", TensorProto.FLOAT, [1, C, N, N]))
        nodes.append(helper.make_node("QuantizeLinear", [f"x{i}", "s", "z"], [f"q{i}"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"q{i}", "s", "z"], [f"d{i}"]))
    if weight is not None:
        values |= {"w": np.ones(weight, np.int8), "ws": np.float32(0.01), "wz": np.int8(0)}
        nodes.append(helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wd"]))
        names.append("wd")
    nodes.append(helper.make_node(name, names, ["y"], **attributes))
    nodes.append(helper.make_node("QuantizeLinear", ["y", "s", "z"], ["yq"]))
    nodes.append(helper.make_node("DequantizeLinear", ["yq", "s", "z"], ["out"]))
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    constants = [numpy_helper.from_array(np.asarray(v), key) for key, v in values.items()]
    graph = helper.make_graph(nodes, "one", inputs, [output], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("name", ONNX_OPERATORS)
def test_onnxruntime_computes_in_integers_what_the_target_says(name: str, tmp_path: Path) -> None:
    """After its optimizer no DequantizeLinear feeds an operator that has an integer kernel."""
    import onnxruntime

    facts = load_target("onnx").lint
    assert facts is not None
    settings = onnxruntime.SessionOptions()
    settings.log_severity_level = 4
    settings.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    settings.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    data = qdq(name, **ONNX_OPERATORS[name]).SerializeToString()
    onnxruntime.InferenceSession(data, settings, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimized.onnx").graph
    dequantized = {
        out for n in graph.node if n.op_type == "DequantizeLinear" for out in n.output
    } - {graph.output[0].name}
    integers = not any(set(node.input) & dequantized for node in graph.node)
    assert integers == (name in facts.int8)


@pytest.mark.parametrize(("zero", "found"), [(-128, []), (-3, ["Relu"])])
def test_a_relu_that_quantization_does_anyway_is_no_finding(
    zero: int, found: list[str], tmp_path: Path
) -> None:
    """Behind a convolution, where the lowest code is zero, onnxruntime drops it too."""
    model = qdq("Conv", zero=zero, **ONNX_OPERATORS["Conv"])
    at = next(i for i, node in enumerate(model.graph.node) if node.op_type == "Conv")
    model.graph.node[at].output[0] = "linear"
    model.graph.node.insert(at + 1, helper.make_node("Relu", ["linear"], ["y"]))
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    report = edgevsr.lint(path, target="onnx")
    assert [e.operator for e in report.findings if e.operator == "Relu"] == found
