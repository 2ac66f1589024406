"""int8 weights under int16 activations: for parts where float is slow and int8 is too coarse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.int16 import IMAGE_SCALE_INT16, real_node, with_int16
from edgevsr.graph.ir import Array, Graph, Node, QuantParams
from edgevsr.graph.quantize_int import tied_tensors
from edgevsr.graph.reference import run_float, run_node_float
from edgevsr.progress import progress
from edgevsr.quantization.layerwise import Layerwise, Scheme
from edgevsr.quantization.ptq import check_quantizable
from edgevsr.quantization.recurrence import as_clips, roll

#: A range is four times what calibration saw: with 16 bits, clipping is all there is to fear.
_HEADROOM = 4.0
_HIGHEST_CODE = 32767
_SMALLEST_RANGE = 1e-6


def quantize_int16(
    graph: Graph, frames: Sequence[NDArray[np.float32]], scheme: Scheme | None = None
) -> Graph:
    """Return a float graph whose weights are int8 codes and whose activations have int16 scales.

    Takes frames and clips as `quantize_graph` does. A pixel of the frame is 128 codes where nothing
    larger shares its scale.

    Raises:
        QuantizeError: as `quantize_graph`.
    """
    check_quantizable(graph, frames)
    feeds = [feed for feed, _ in roll(graph, as_clips(graph, frames))]
    with progress("quantizing", 2 * len(graph.nodes)) as bar:
        reach: dict[str, float] = dict.fromkeys(graph.tensors, _SMALLEST_RANGE)
        for feed in feeds:
            for name, values in run_float(graph, feed).items():
                reach[name] = max(reach[name], float(np.abs(values).max()))
            bar.advance(len(graph.nodes) / len(feeds))
        scales = _scales(graph, reach)
        qparams = {name: QuantParams(scale, 0) for name, scale in scales.items()}
        return with_int16(_Weights(graph, qparams, feeds, feeds, scheme or Scheme()).run(bar))


def _scales(graph: Graph, reach: dict[str, float]) -> dict[str, float]:
    scales = {
        name: float(np.float32(_HEADROOM * value / _HIGHEST_CODE)) for name, value in reach.items()
    }
    image = float(np.float32(IMAGE_SCALE_INT16))
    scales[graph.input_of("frame")] = image
    for group in tied_tensors(graph):
        scales |= dict.fromkeys(group, max(scales[name] for name in group))
    return scales


class _Weights(Layerwise):
    """Rounds weights alone: activations are as good as real."""

    def deliver(self, fixed: Node, inputs: list[Array]) -> Array:
        """Return what the layer with integer weights gives."""
        return run_node_float(real_node(fixed, self.qparams), inputs)

    def values(self, name: str, given: Array) -> Array:
        """Return what was delivered, which is real already."""
        return given
