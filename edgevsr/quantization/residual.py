"""What is added to a picture, in the picture's own steps: their sum then rounds once.

A sum of pictures' codes and finer ones is rounded to the picture's codes, after the finer ones were
rounded to theirs. In equal steps the sum is exact, and the one rounding is that of any 8-bit
picture: int8 loses nothing there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from edgevsr.graph.ir import Graph, QuantParams
from edgevsr.quantization.ranges import IMAGE, round_trip
from edgevsr.spec import IMAGE_SCALE

#: In a picture's steps, −128 to 127 of them.
RESIDUAL = QuantParams(IMAGE_SCALE, 0)


def residuals(graph: Graph, qparams: Mapping[str, QuantParams]) -> set[str]:
    """Return the tensors that are added to a picture and make one, whose own scale is open."""
    found = set()
    for node in graph.nodes:
        if node.op == "add" and qparams.get(node.output) == IMAGE:
            known = [qparams[name] for name in node.inputs if name in qparams]
            if known == [IMAGE]:
                found |= {name for name in node.inputs if name not in qparams}
    return found


def in_picture_steps(values: NDArray[np.float32], otherwise: QuantParams) -> QuantParams:
    """Return the quantization of a residual from samples of it, (samples, channels).

    A picture's steps, unless they cut off more than `otherwise` rounds away.
    """
    low, high = (RESIDUAL.dequantize(np.array(code, np.int8)) for code in (-128, 127))
    cut = float(np.square(values - values.clip(low, high)).sum(dtype=np.float64))
    rounded = float(np.square(round_trip(values, otherwise) - values).sum(dtype=np.float64))
    return RESIDUAL if cut <= rounded else otherwise
