"""Networks that teach: found by name or file, their features in step with their frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from edgevsr.errors import SourceError, SpecError
from edgevsr.graph.reference import run_float
from edgevsr.nets.checkpoint import save_net
from edgevsr.nets.features import find_features
from edgevsr.nets.references.basicvsr import BasicVsr
from edgevsr.nets.references.running import Pieces, stream
from edgevsr.nets.references.single import Srcnn
from edgevsr.nets.references.zoomingslowmo import ZoomingSlowMo
from edgevsr.nets.registry import build, net_spec
from edgevsr.nets.teachers import (
    ReferenceTeacher,
    SpandrelTeacher,
    TeacherId,
    open_teacher,
)
from edgevsr.sources import open_source
from edgevsr.zoo import zoo_path


def test_features_keep_step_with_frames_when_a_clip_is_cut() -> None:
    """BasicVSR over pieces that overlap: each frame's features rebuild that frame's SR."""
    torch.manual_seed(0)
    net = BasicVsr(channels=8, blocks=1).eval()
    clip = torch.rand(7, 3, 8, 8)
    tap = find_features(net, lambda: net(clip[None, :2]), (8, 8))
    assert tap is not None
    assert tap.layer is net.tail.upconv1
    made = []
    with torch.no_grad(), tap.open() as features:
        for sr in stream(net, clip, Pieces(4, 1), beside=features):
            made.append((sr, features.popleft()))
        assert not features
        for frame, (sr, own) in zip(clip, made, strict=True):
            base = nn.functional.interpolate(
                frame[None], scale_factor=4, mode="bilinear", align_corners=False
            )
            assert torch.allclose(net.tail.reconstruct(own[None]) + base, sr, atol=1e-5)


def test_a_doubled_frame_rate_teaches_the_frames_there_are() -> None:
    torch.manual_seed(0)
    net = ZoomingSlowMo(channels=8, front=1, back=1)
    teacher = ReferenceTeacher(TeacherId("zooming-slowmo", "0", 4, "rgb", 2), net)
    tap = teacher.find_tap()
    clip = torch.rand(3, 3, 10, 12)
    found = list(teacher.teach(clip, tap))
    with torch.no_grad():
        whole = net(clip[None])[0, ::2]
    assert torch.allclose(torch.stack([sr for sr, _ in found]), whole, atol=1e-5)
    assert [tuple(features.shape) for _, features in found] == [(8, 10, 12)] * 3


@pytest.mark.parametrize("name", ["sesr-m3-x2", "fsrcnn-x2"])
def test_a_shipped_network_teaches_what_its_file_computes(name: str) -> None:
    teacher = open_teacher(str(zoo_path(name)))
    clip = torch.rand(2, 1, 12, 14)
    expected = run_float(open_source(name).graph, {"frame": clip.permute(0, 2, 3, 1).numpy()})["sr"]
    for sr, frame in zip(teacher.answer(clip), expected, strict=True):
        torch.testing.assert_close(sr.permute(1, 2, 0), torch.from_numpy(frame), rtol=0, atol=1e-4)


def test_a_quantized_network_does_not_teach() -> None:
    with pytest.raises(SpecError, match="give the float network"):
        open_teacher(str(zoo_path("sesr-m3-x2-w8a8")))


def test_a_net_that_works_at_hr_size_has_no_features_to_teach() -> None:
    teacher = ReferenceTeacher(TeacherId("srcnn", "0", 4, "rgb"), Srcnn())
    with pytest.raises(SpecError, match="leave --feature-weight out"):
        teacher.find_tap()


def test_tiles_of_a_foreign_teacher_make_the_whole_frame() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 12, 9, padding=4), nn.PixelShuffle(2))
    descriptor = SimpleNamespace(model=net)

    class Called(SimpleNamespace):
        def __call__(self, image: Tensor) -> Tensor:
            with torch.inference_mode():
                return net(image)

    teacher = SpandrelTeacher(TeacherId("x", "0", 2, "rgb"), Called(model=descriptor.model))
    clip = torch.rand(2, 3, 200, 230)
    made = torch.stack([sr for (sr,) in teacher.teach(clip)])
    with torch.no_grad():
        assert torch.allclose(made, net(clip), atol=1e-5)
    with pytest.raises(SpecError, match="output alone"):
        teacher.find_tap()


def test_a_network_that_spandrel_reads_teaches(tmp_path: Path) -> None:
    """A Compact network by the names of its weights, from a pickle of tensors alone."""
    try:
        import spandrel
    except ImportError:
        pytest.skip("crosscheck: spandrel is not installed; pip install 'edgevsr[teachers]'")
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, 1, 1), nn.PReLU(8)]
    for _ in range(2):
        layers += [nn.Conv2d(8, 8, 3, 1, 1), nn.PReLU(8)]
    body = nn.ModuleList([*layers, nn.Conv2d(8, 48, 3, 1, 1)])
    path = tmp_path / "compact.pth"
    torch.save({"params": {f"body.{k}": v for k, v in body.state_dict().items()}}, path)
    teacher = open_teacher(str(path))
    assert isinstance(teacher, SpandrelTeacher)
    assert (teacher.identity.scale, teacher.identity.colour) == (4, "rgb")
    direct = spandrel.ModelLoader("cpu").load_from_file(path)
    frame = torch.rand(1, 3, 20, 24)
    ((sr,),) = teacher.teach(frame)
    assert torch.allclose(sr, direct(frame)[0], atol=1e-6)


def test_sources_that_cannot_teach_are_refused_in_one_line(
    tmp_path: Path,
) -> None:
    own = tmp_path / "own.safetensors"
    spec = replace(net_spec("sesr-f4-m1", 2), expansion=8)
    save_net(own, build(spec), spec, {})
    with pytest.raises(SpecError, match="give its published checkpoint with --weights"):
        open_teacher("basicvsr")
    with pytest.raises(SpecError, match="is no reference"):
        open_teacher(str(own), tmp_path / "x.pth")
    with pytest.raises(SourceError, match=r"did you mean 'basicvsr'\?"):
        open_teacher("basicvs")
    with pytest.raises(SourceError, match="no such checkpoint"):
        open_teacher("basicvsr", tmp_path / "none.pth")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(own.read_bytes()[:200])
    with pytest.raises(SourceError, match="not a readable safetensors"):
        open_teacher(str(cut))
    trap = tmp_path / "trap.pth"
    torch.save({"params": {"a": Path("x")}}, trap)
    with pytest.raises(SourceError, match="is not unpickled"):
        open_teacher(str(trap))
