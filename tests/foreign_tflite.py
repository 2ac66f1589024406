"""A .tflite as somebody else's converter might write it, operator by operator."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edgevsr.exporters.flatbuffer import TfliteFile

SHAPE = (1, 16, 24, 4)


class Net:
    """A .tflite built operator by operator; every tensor int8 of one shape unless said."""

    def __init__(self) -> None:
        self.file = TfliteFile("someone else's")
        self.names: dict[str, int] = {}

    def tensor(
        self, name: str, scale: float | None = 0.02, zero: int = -3, shape: Any = SHAPE,
        dtype: Any = np.int8,
    ) -> int:  # fmt: skip
        scale = None if dtype is np.float32 else scale
        self.names[name] = self.file.tensor(name, shape, dtype, None, scale, zero)
        return self.names[name]

    def prelu(self, source: int, output: int, slopes: int) -> None:
        values = np.ones((1, 1, slopes), np.int8)
        alpha = self.file.tensor("alpha", values.shape, np.int8, values, 0.01)
        self.file.operator("PRELU", 1, [source, alpha], output)

    def leaky(self, source: int, output: int) -> None:
        options = schema.LeakyReluOptionsT()
        options.alpha = 0.1
        self.file.operator("LEAKY_RELU", 2, [source], output, options)

    def done(self, inputs: str, outputs: str) -> bytes:
        ends = ({name: self.names[name] for name in names.split()} for names in (inputs, outputs))
        return self.file.finish(*ends)
