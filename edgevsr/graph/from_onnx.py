"""Reads any ONNX file made of the supported operators, float or QDQ, into a Graph.

Files are untrusted: sizes are bounded, nothing is executed, and one error lists every operator
and attribute that is not supported.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from edgevsr.errors import ExportError, SourceError
from edgevsr.files import read_at_most
from edgevsr.graph.int16 import INT16_KEY, has_int16, integers_of
from edgevsr.graph.ir import Graph, QuantParams
from edgevsr.graph.normalise import crd_order, fuse_relu, permute_input
from edgevsr.graph.onnx_constants import FOLDED, fold, tensor_values
from edgevsr.graph.onnx_ops import OPERATORS
from edgevsr.graph.onnx_reader import MAX_CHANNELS, Reader, UnknownInputError
from edgevsr.graph.quantize_int import PASS_THROUGH, quantize_bias, quantize_node
from edgevsr.graph.roles import METADATA_KEY, parse_metadata, with_roles

_MAX_BYTES = 256 << 20
_MAX_NODES = 10_000
_LISTED = 20


def graph_from_onnx(source: Path | bytes) -> Graph:
    """Return the network in an ONNX file, float or int8 (QDQ), ours or another's.

    Inputs and outputs of the file are NCHW float32. A fixed frame size becomes `Graph.size`;
    torch's pixel_shuffle order, batch normalization and groups are brought to the graph's form.

    Raises:
        SourceError: the file is damaged, too large, keeps weights elsewhere, or has inputs that
            are not NCHW frames of batch 1.
        ExportError: an operator or attribute is not supported; all of them are listed.
    """
    where = str(source) if isinstance(source, Path) else "ONNX file"
    model = load_onnx(source, where)
    reader = Reader(model, where)
    for tensor in model.graph.initializer:
        reader.constants[tensor.name] = tensor_values(tensor, where)
    inputs, size = _read_inputs(reader, model)
    computed = {name for node in model.graph.node for name in node.output} | set(inputs)
    reader.quantized = any(
        node.op_type == "QuantizeLinear"
        and node.input
        and node.input[0] in computed
        and not _is_int16(reader, node)
        for node in _without_constant_inputs(model, reader)
    )
    for proto in model.graph.node:
        _read_node(reader, proto)
    outputs = _read_outputs(reader, model, inputs)
    if reader.problems:
        raise ExportError(_list_problems(reader))
    graph = _finish(reader, reader.graph(inputs, outputs, size))
    metadata = next((p.value for p in model.metadata_props if p.key == METADATA_KEY), "{}")
    return _with_int16(with_roles(graph, parse_metadata(metadata), where), reader)


def _is_int16(reader: Reader, quantize: Any) -> bool:
    zero = reader.constants.get(quantize.input[2]) if len(quantize.input) > 2 else None
    return zero is not None and zero.dtype == np.int16


def _with_int16(graph: Graph, reader: Reader) -> Graph:
    """Check that a file with int16 activations says of itself what it does."""
    if not reader.int16:
        meta = {key: value for key, value in graph.meta.items() if key != INT16_KEY}
        return replace(graph, meta=meta)
    if not has_int16(graph):
        raise ExportError(
            f"{reader.where}: has int16 activations, and no word of edgevsr's on their scales; "
            "quantize the float net here: edgevsr quantize SOURCE --activations int16"
        )
    said = {q.scale for q in integers_of(graph).qparams.values()}
    if said != {float(np.float32(scale)) for scale in reader.int16.values()}:
        raise ExportError(
            f"{reader.where}: its int16 scales are not those that its metadata has; quantize the "
            "float net again"
        )
    return graph


def load_onnx(source: Path | bytes, where: str) -> Any:
    """Return the parsed ONNX model, of bounded size and with at least one node.

    Raises:
        SourceError: the file cannot be read, is no ONNX file, or is too large.
    """
    if isinstance(source, Path):
        source = read_at_most(source, _MAX_BYTES, "this network", SourceError)
    if not source:
        raise SourceError(f"{where}: is empty; export or copy it again")
    if len(source) > _MAX_BYTES:
        raise SourceError(f"{where}: larger than {_MAX_BYTES >> 20} MiB; not a mobile net")
    try:
        model = onnx.load_model_from_string(source)
    except Exception as error:
        raise SourceError(
            f"{where}: not an ONNX file, or cut short; export or copy it again"
        ) from error
    if not model.graph.node:
        raise SourceError(f"{where}: holds no network (no nodes); export it again")
    if len(model.graph.node) > _MAX_NODES:
        raise SourceError(f"{where}: {len(model.graph.node)} nodes; at most {_MAX_NODES} are read")
    return model


def _without_constant_inputs(model: Any, reader: Reader) -> list[Any]:
    """Return the nodes that read something computed from a graph input."""
    constant = set(reader.constants)
    kept = []
    for node in model.graph.node:
        if all(name in constant or not name for name in node.input):
            constant.update(node.output)
        else:
            kept.append(node)
    return kept


def _read_inputs(reader: Reader, model: Any) -> tuple[list[str], tuple[int, int] | None]:
    """Declare the graph's inputs; return their names and (width, height) where fixed."""
    names: list[str] = []
    sizes: set[tuple[int, int]] = set()
    for value in model.graph.input:
        if value.name in reader.constants:
            continue
        kind = value.type.tensor_type
        dims = [max(d.dim_value, 0) if d.HasField("dim_value") else 0 for d in kind.shape.dim]
        label = f"{reader.where}: input {value.name!r}"
        if kind.elem_type != TensorProto.FLOAT:
            raise SourceError(f"{label} is not float32; export the net with float32 inputs")
        if len(dims) != 4 or dims[0] not in (0, 1) or not 1 <= dims[1] <= MAX_CHANNELS:
            shown = [d or "?" for d in dims]
            raise SourceError(
                f"{label} has shape {shown}: expected (1, channels, height, width); --size can set "
                "height and width only, so export the net again with one NCHW frame"
            )
        if dims[1] > 256:
            raise SourceError(f"{label} has {dims[1]} channels: is it NHWC? expected NCHW")
        names.append(value.name)
        reader.declare(value.name, dims[1])
        if dims[2] and dims[3]:
            sizes.add((dims[3], dims[2]))
    if not names:
        raise SourceError(f"{reader.where}: the network has no input")
    if len(sizes) > 1:
        raise SourceError(
            f"{reader.where}: inputs of different sizes {sorted(sizes)}: expected one LR size"
        )
    return names, next(iter(sizes), None)


def _read_node(reader: Reader, proto: Any) -> None:
    """Read one node: fold it, add it to the graph, or note what is unsupported about it."""
    op = proto.op_type if proto.domain in ("", "ai.onnx") else f"{proto.domain}.{proto.op_type}"
    constant = all(name in reader.constants for name in proto.input if name)
    if op in FOLDED and constant and proto.output:
        values = [reader.constants[name] for name in proto.input if name]
        folded = fold(op, values, reader.attributes(proto), reader.where)
        if folded is not None:
            reader.constants[proto.output[0]] = folded
            return
    before = len(reader.problems)
    operator = OPERATORS.get(op)
    if operator is None or not proto.input or not proto.output:
        reader.problem(proto, "")
        return
    try:
        operator(reader, proto, reader.attributes(proto))
    except UnknownInputError as missing:
        if str(missing) in reader.constants or not reader.problems:
            reader.problem(proto, f"reads {str(missing)!r}, which is no frame or feature map")
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        if len(reader.problems) == before:
            reader.problem(proto, f"is malformed ({error})")


def _read_outputs(reader: Reader, model: Any, inputs: list[str]) -> list[str]:
    names = [value.name for value in model.graph.output]
    tensors = [reader.aliases.get(name) for name in names]
    if reader.problems:
        return names
    if not names or None in tensors:
        raise SourceError(f"{reader.where}: an output is not computed by the network")
    if len(set(tensors)) != len(tensors) or set(tensors) & set(inputs):
        raise SourceError(
            f"{reader.where}: an output repeats an input or another output unchanged; GPU "
            "delegates corrupt such tensors, so give every output a node of its own"
        )
    return names


def _list_problems(reader: Reader) -> str:
    problems = list(dict.fromkeys(reader.problems))
    more = f" and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
    return (
        f"{reader.where}: {len(problems)} unsupported: {'; '.join(problems[:_LISTED])}{more}. "
        f"Supported operators: {', '.join(sorted(OPERATORS))}"
    )


def _finish(reader: Reader, graph: Graph) -> Graph:
    """Bring what was read to the graph's form: fused ReLU, DCR order, integers everywhere."""
    graph = fuse_relu(graph)
    graph = _in_dcr_order(graph)
    return _complete_quantization(graph, reader.where) if graph.quantized else graph


def _in_dcr_order(graph: Graph) -> Graph:
    """Bring the depth_to_space nodes that the reader marked `crd` to the graph's order."""
    marked = [node for node in graph.nodes if "crd" in node.attrs]
    nodes = tuple(
        replace(node, attrs={"block": node.attrs["block"]}) if "crd" in node.attrs else node
        for node in graph.nodes
    )
    graph = replace(graph, nodes=nodes)
    for node in marked:
        order = crd_order(graph.tensors[node.output].channels, node.attrs["block"])
        graph = permute_input(graph, node.output, 0, order)
    return graph


def _complete_quantization(graph: Graph, where: str) -> Graph:
    """Give pass-through tensors the scale beside them, and every weight and bias its integers."""
    qparams: dict[str, QuantParams] = dict(graph.qparams)
    for nodes in (graph.nodes, graph.nodes[::-1]):
        for node in nodes:
            if node.op not in PASS_THROUGH:
                continue
            sides = (*node.inputs, node.output)
            known = [qparams[name] for name in sides if name in qparams]
            if known:
                qparams |= {name: known[0] for name in sides if name not in qparams}
    missing = [name for name in graph.tensors if name not in qparams]
    if missing:
        listed = ", ".join(repr(name) for name in missing[:_LISTED])
        raise ExportError(
            f"{where}: quantized only in part; no scale for {listed}; quantize the float net "
            "here: edgevsr quantize SOURCE --calib FRAMES"
        )
    complete = []
    for node in graph.nodes:
        scale = float(np.float32(qparams[node.inputs[0]].scale))
        if node.weight_scale is None:
            complete.append(quantize_node(node, scale))
        elif node.bias is not None:
            # A file has the product of both scales as one float32, and counts biases in it.
            bias = quantize_bias(node.bias, 1.0, np.float32(scale) * node.weight_scale)
            complete.append(replace(node, bias=bias))
        else:
            complete.append(node)
    return replace(graph, nodes=tuple(complete), qparams=qparams)
