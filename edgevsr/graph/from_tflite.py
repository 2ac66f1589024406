"""Reads a .tflite file of the supported operators, float or int8, into a Graph."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from edgevsr.errors import ExportError, SourceError
from edgevsr.graph.ir import Graph
from edgevsr.graph.roles import METADATA_KEY, parse_metadata, with_roles
from edgevsr.graph.tflite_file import ModelEntry, OperatorEntry, damaged, load_tflite
from edgevsr.graph.tflite_operators import OPERATORS
from edgevsr.graph.tflite_reader import TfliteReader, UnsupportedError
from edgevsr.graph.tflite_rows import merge_rows

_LISTED = 20


def graph_from_tflite(source: Path | bytes) -> Graph:
    """Return the network in a .tflite file; `Graph.size` is its fixed frame size.

    Conversions at the ends of an int8 network are dropped: the graph is the int8 body, and
    `meta["io"]` says what the file's images are: "int8", "uint8" or "float".

    Raises:
        SourceError: the file is damaged, too large, or its images are not NHWC of batch 1.
        ExportError: an operator or option is not supported; all of them are listed.
    """
    where = str(source) if isinstance(source, Path) else ".tflite file"
    model = load_tflite(source, where)
    with damaged(where):
        graph = _read(merge_rows(model), where)
    metadata = parse_metadata(model.metadata.get(METADATA_KEY, b"{}"))
    io = graph.meta["io"]
    return with_roles(graph, metadata, where).with_meta(io=io)


def _read(model: ModelEntry, where: str) -> Graph:
    size = _frame_size(model, where)
    reader = TfliteReader(model)
    inputs = reader.read_inputs()
    reader.io = "int8" if reader.quantized else "float"
    for operator in model.operators:
        _read_operator(reader, operator)
    if reader.problems:
        problems = list(dict.fromkeys(reader.problems))
        more = f" and {len(problems) - _LISTED} more" if len(problems) > _LISTED else ""
        raise ExportError(
            f"{where}: {len(problems)} unsupported: {'; '.join(problems[:_LISTED])}{more}. "
            f"Supported operators: {', '.join(sorted(OPERATORS))}"
        )
    tensors = [reader.aliases.get(index) for index in model.outputs]
    if not tensors or None in tensors:
        raise SourceError(f"{where}: an output is not computed by the network")
    if len(set(tensors)) != len(tensors) or set(tensors) & set(inputs):
        raise SourceError(f"{where}: an output repeats an input or another output unchanged")
    graph = _renamed(reader, inputs)
    _check_shapes(reader, graph, size, where)
    return replace(graph, size=size)


def _read_operator(reader: TfliteReader, operator: OperatorEntry) -> None:
    """Add the operator's nodes, or note what is unsupported about it."""
    label = reader.names[operator.outputs[0]] if operator.outputs else ""
    read = OPERATORS.get(operator.name)
    if read is None or not operator.outputs or not operator.inputs:
        reader.problems.append(f"{operator.name} {label!r}")
        return
    try:
        read(reader, operator)
    except UnsupportedError as error:
        if str(error):
            reader.problems.append(f"{operator.name} {label!r} {error}")


def _frame_size(model: ModelEntry, where: str) -> tuple[int, int]:
    sizes = set()
    for index in model.inputs:
        entry = model.tensors[index]
        dtypes = (np.float32, np.int8, np.uint8)
        if len(entry.shape) != 4 or entry.shape[0] != 1 or entry.dtype not in dtypes:
            raise SourceError(
                f"{where}: input {entry.name!r} is {list(entry.shape)} of {entry.dtype}: expected "
                "(1, height, width, channels) of float32, int8 or uint8"
            )
        sizes.add((entry.shape[2], entry.shape[1]))
    if len(sizes) != 1 or min(min(sizes)) < 1:
        raise SourceError(f"{where}: inputs of sizes {sorted(sizes)}: expected one LR size")
    return sizes.pop()


def _renamed(reader: TfliteReader, inputs: list[str]) -> Graph:
    """Return the graph with every output under the name that the file's end has."""
    new = {reader.aliases[index]: reader.names[index] for index in reader.model.outputs}
    nodes, meta = tuple(reader.nodes), {"io": reader.io}
    read = Graph(tuple(inputs), tuple(new), nodes, reader.tensors, {}, meta, reader.qparams)
    return read.renamed(new)


def _check_shapes(reader: TfliteReader, graph: Graph, size: tuple[int, int], where: str) -> None:
    """Refuse a file whose tensors have other shapes than its operators give them."""
    shapes = dict(zip(reader.names, (entry.shape for entry in reader.model.tensors), strict=True))
    for name in graph.tensors:
        if name in shapes and shapes[name] != graph.shape(name, size):
            raise SourceError(
                f"{where}: tensor {name!r} is {list(shapes[name])}, its operators give "
                f"{list(graph.shape(name, size))}; the file is damaged or of another layout"
            )
    if graph.quantized and set(graph.qparams) != set(graph.tensors):
        raise SourceError(f"{where}: only a part of the network is int8; export it again")
