"""One clip, four ways: torch on the whole of it, and streamed as graph, ONNX and TFLite."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edgevsr.collapsing import narrow_graph
from edgevsr.exporters.onnx import onnx_bytes
from edgevsr.exporters.tflite import tflite_bytes
from edgevsr.nets.registry import build, net_spec
from edgevsr.runtime.model import SrModel
from edgevsr.runtime.verify import MAX_ABS_ERR
from tests.recurrent import moving_clip

SIZE = (24, 16)


@pytest.mark.parametrize("colour", ["y", "rgb"])
@pytest.mark.parametrize(
    "name", ["rsesr-f8-m2-s4", "rrn-8-2", "rsesr-f8-m2-s4-mc", "rsesr-f8-m2-mc"]
)
def test_a_clip_of_a_hundred_frames(name: str, colour: str, tmp_path: Path) -> None:
    """At most 0.01/255 between the wide net over the clip and the narrow files frame by frame."""
    import torch

    torch.manual_seed(0)
    suffix = "-rgb" if colour == "rgb" else ""
    spec = replace(net_spec(name + suffix, 2), expansion=16)
    net = build(spec).set_form("expanded")
    clip = moving_clip(SIZE, spec.channels, 100)
    with torch.inference_mode():
        frames = torch.from_numpy(clip.transpose(0, 3, 1, 2)[None].copy())
        whole = net(frames)[0].numpy().transpose(0, 2, 3, 1).clip(0, 1)
    graph = narrow_graph(net)
    (tmp_path / "net.onnx").write_bytes(onnx_bytes(graph))
    (tmp_path / "net.tflite").write_bytes(tflite_bytes(graph, SIZE))
    for file in ("net.onnx", "net.tflite"):
        model = SrModel.open(tmp_path / file)
        for frame, expected in zip(clip, whole, strict=True):
            assert np.abs(model.upscale(frame) - expected).max() <= MAX_ABS_ERR
