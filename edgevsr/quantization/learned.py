"""Quantization that training has settled: it travels with the float network to `quantize`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from edgevsr.errors import QuantizeError
from edgevsr.graph.ir import Graph, QuantParams
from edgevsr.graph.quantize_int import RANGES_KEY, quantize_constants, tied_tensors


def ranges_to_json(qparams: Mapping[str, QuantParams]) -> dict[str, list[float]]:
    """Return each tensor's scale and zero point as plain JSON values."""
    return {name: [params.scale, params.zero_point] for name, params in qparams.items()}


def ranges_from_json(value: Any, graph: Graph) -> dict[str, QuantParams]:
    """Return the quantization of every tensor of a float graph, as `ranges_to_json` wrote it.

    Raises:
        QuantizeError: it does not fit this graph, or is not a quantization.
    """
    found: dict[str, QuantParams] = {}
    for name in graph.tensors:
        entry = value.get(name) if isinstance(value, dict) else None
        if not isinstance(entry, list) or not _is_quantization(entry):
            raise QuantizeError(
                f"tensor {name!r}: its trained scale and zero point are missing or damaged, got "
                f"{str(entry)[:40]}; collapse the trained run again"
            )
        found[name] = QuantParams(float(entry[0]), int(entry[1]))
    for group in tied_tensors(graph):
        if len({found[name] for name in group}) > 1:
            raise QuantizeError(
                f"tensors {', '.join(sorted(group))} must share one scale, and their trained ones "
                "differ; collapse the trained run again"
            )
    return found


def has_learned_ranges(graph: Graph) -> bool:
    """Whether a float network was trained for int8 and brings its ranges."""
    return not graph.quantized and RANGES_KEY in graph.meta


def quantize_learned(graph: Graph) -> Graph:
    """Return the int8 graph that a network was trained as: its own ranges, each nearest code.

    Raises:
        QuantizeError: the ranges do not fit the network.
    """
    qparams = ranges_from_json(graph.meta.get(RANGES_KEY), graph)
    int8 = quantize_constants(graph, qparams)
    meta = {key: value for key, value in int8.meta.items() if key != RANGES_KEY}
    return replace(int8, meta=meta)


def _is_quantization(entry: list[Any]) -> bool:
    numbers = all(isinstance(x, int | float) and not isinstance(x, bool) for x in entry)
    if len(entry) != 2 or not numbers:
        return False
    scale, zero_point = entry
    return math.isfinite(scale) and scale > 0 and zero_point in range(-128, 128)
