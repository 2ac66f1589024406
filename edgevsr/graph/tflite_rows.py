"""Recognises depth_to_space written as slices, rows and a concatenation.

That form is what the target ethos-u85 has: each slice of `block · C` channels of an LR row is an
HR row already, so laying the slices under one another moves whole rows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgevsr.graph.tflite_file import ModelEntry, OperatorEntry, TensorEntry, read_options

_MASKS = ("beginMask", "endMask", "ellipsisMask", "newAxisMask", "shrinkAxisMask")


def merge_rows(model: ModelEntry) -> ModelEntry:
    """Return the model with every such group of operators as the one DEPTH_TO_SPACE it is."""
    finder = _Finder(model)
    operators: list[OperatorEntry] = []
    spent: set[int] = set()
    for position in reversed(range(len(model.operators))):
        if position in spent:
            continue
        operator = model.operators[position]
        group = finder.group(operator)
        if group is None:
            operators.append(operator)
            continue
        spent |= group.members
        inputs, options = (group.source,), _options(group.block)
        operators.append(OperatorEntry("DEPTH_TO_SPACE", inputs, operator.outputs, options))
    return replace(model, operators=tuple(reversed(operators))) if spent else model


@dataclass(frozen=True)
class _Group:
    source: int
    block: int
    members: frozenset[int]


class _Finder:
    def __init__(self, model: ModelEntry) -> None:
        self.tensors, self.operators = model.tensors, model.operators
        self.producer = {
            out: at for at, operator in enumerate(model.operators) for out in operator.outputs
        }
        self.uses = Counter(index for operator in model.operators for index in operator.inputs)
        self.uses.update(model.outputs)

    def group(self, last: OperatorEntry) -> _Group | None:
        """Return the operators that end in this RESHAPE as a depth_to_space, if they are one."""
        if last.name != "RESHAPE" or not last.outputs:
            return None
        found = self._made(last.inputs[0], "CONCATENATION")
        if found is None:
            return None
        at, concat = found
        options = read_options(concat, "ConcatenationOptions")
        block = len(concat.inputs)
        if options.axis != 2 or options.fusedActivationFunction or not 2 <= block <= 16:
            return None
        members, sources = {at}, set()
        for row, part in enumerate(concat.inputs):
            reshape = self._made(part, "RESHAPE")
            taken = reshape and self._made(reshape[1].inputs[0], "STRIDED_SLICE")
            if reshape is None or taken is None or not self._is_row(taken[1], row, block):
                return None
            members |= {reshape[0], taken[0]}
            sources.add(taken[1].inputs[0])
            if not self._shaped(taken[1].inputs[0], part, last.outputs[0], block):
                return None
        return _Group(sources.pop(), block, frozenset(members)) if len(sources) == 1 else None

    def _made(self, index: int, name: str) -> tuple[int, OperatorEntry] | None:
        """Return the operator of this name that makes a tensor for one reader alone."""
        at = self.producer.get(index)
        if at is None or self.uses[index] != 1:
            return None
        operator = self.operators[at]
        return (at, operator) if operator.name == name and operator.inputs else None

    def _is_row(self, operator: OperatorEntry, row: int, block: int) -> bool:
        """Whether a STRIDED_SLICE takes the channels of one HR row and nothing else."""
        if len(operator.inputs) != 4:
            return False
        options = read_options(operator, "StridedSliceOptions")
        if any(getattr(options, mask) for mask in _MASKS):
            return False
        shape = self.tensors[operator.inputs[0]].shape
        if len(shape) != 4 or shape[3] % block**2:
            return False
        wide = shape[3] // block
        wanted = ([0, 0, 0, row * wide], [*shape[:3], (row + 1) * wide], [1, 1, 1, 1])
        return all(
            np.array_equal(_values(self.tensors[index]), values)
            for index, values in zip(operator.inputs[1:], wanted, strict=True)
        )

    def _shaped(self, source: int, part: int, output: int, block: int) -> bool:
        batch, height, width, channels = self.tensors[source].shape
        narrow = channels // block**2
        return (
            batch == 1
            and self.tensors[part].shape == (1, height, 1, width * block * narrow)
            and self.tensors[output].shape == (1, height * block, width * block, narrow)
        )


def _values(entry: TensorEntry) -> list[int]:
    return [] if entry.data is None else [int(value) for value in entry.data.reshape(-1)]


def _options(block: int) -> object:
    """Return the options of a DEPTH_TO_SPACE as a file would hold them."""
    options = schema.DepthToSpaceOptionsT()
    options.blockSize = block
    builder = flatbuffers.Builder(64)
    builder.Finish(options.Pack(builder))
    return schema.DepthToSpaceOptions.GetRootAs(bytes(builder.Output()), 0)._tab
