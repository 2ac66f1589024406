"""How much of a device's peak a wide network can hope for: a residual trunk under the roofline."""

from __future__ import annotations

import numpy as np

from edgevsr.errors import BudgetError
from edgevsr.graph.ir import Graph, Node, QuantParams, TensorSpec
from edgevsr.profiling.devices import Device
from edgevsr.profiling.roofline import estimate

#: The LR frame that the field counts MACs for, ×4 to 1280×720.
LR_SIZE = (320, 180)
TRUNK = "30 residual blocks of 64 channels at 320x180"

_CHANNELS, _BLOCKS = 64, 30


def peak_macs_per_s(device: Device) -> float:
    """Return the MACs a second of a device's int8 array, or of its float one where it has no other.

    Raises:
        BudgetError: the profile states neither.
    """
    tops = device.value("peak_int8_tops") or device.value("peak_float_tops")
    if tops is None:
        raise BudgetError(f"{device.name}: its profile states no peak; run: edgevsr list devices")
    return tops * 1e12 / 2


def trunk_utilisation(device: Device) -> float:
    """Return the share of the peak that BasicVSR's kind of trunk reaches by the cost model.

    Raises:
        BudgetError: the profile lacks a number that the model needs.
    """
    quantized = device.value("peak_int8_tops") is not None
    return estimate(_trunk(quantized), LR_SIZE, device).utilisation


def _trunk(quantized: bool) -> Graph:
    kind = np.int8 if quantized else np.float32
    weight = np.zeros((_CHANNELS, 3, 3, _CHANNELS), kind)
    bias = np.zeros(_CHANNELS, np.int32 if quantized else np.float32)
    scales = np.ones(_CHANNELS, np.float32) if quantized else None
    nodes: list[Node] = []
    last = "frame"
    for block in range(_BLOCKS):
        names = f"conv{block}a", f"conv{block}b", f"add{block}"
        convs = ((last, names[0], "relu"), (names[0], names[1], "none"))
        for source, name, activation in convs:
            nodes.append(
                Node("conv2d", name, (source,), name, {"groups": 1}, weight, bias, scales,
                     "relu" if activation == "relu" else "none")
            )  # fmt: skip
        nodes.append(Node("add", names[2], (names[1], last), names[2]))
        last = names[2]
    tensors = {name: TensorSpec(_CHANNELS) for name in ("frame", *(node.output for node in nodes))}
    return Graph(
        inputs=("frame",),
        outputs=(last,),
        nodes=tuple(nodes),
        tensors=tensors,
        roles={"frame": "frame", last: "sr"},
        qparams={name: QuantParams(1.0 / 255.0, -128) for name in tensors} if quantized else {},
    )
