"""The ablations' own parts: gates that start open, a part of the pictures, how both are scored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks.ablations import CHOICES, NET, Choice, one_in, open_run, score, train
from benchmarks.changed_nets import TorchModel, add_gate, pixel_gate, squeeze_excite
from edgevsr.data.pairs import find_media
from edgevsr.errors import SpecError
from edgevsr.evaluation import Picture
from edgevsr.files import CHECKPOINT
from edgevsr.nets.checkpoint import load_checkpoint, load_net
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build, net_spec
from edgevsr.nets.teachers import open_teacher
from edgevsr.training.plan import held_out

GATES = pytest.mark.parametrize("gate", [pixel_gate, squeeze_excite])
SMALL = "sesr-f8-m1"
STEPS = 3
#: Kernels made for so few steps take longer than the steps.
PLAIN = {"compiled": False, "patch": 12, "batch": 2}


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), np.uint8)
    return np.array(Image.fromarray(coarse).resize((96, 72), Image.Resampling.BICUBIC))


def net_and_frames() -> tuple[Net, Tensor]:
    torch.manual_seed(0)
    return build(net_spec(SMALL, 2)), torch.rand(2, 1, 20, 16)


@pytest.fixture(scope="module")
def stills(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stills")
    for index in range(21):
        Image.fromarray(picture(index)).save(folder / f"{index:02}.png")
    return folder


@GATES
def test_a_gated_network_starts_as_the_ungated_one(gate: Callable[[int], nn.Module]) -> None:
    net, frames = net_and_frames()
    with torch.no_grad():
        plain = net(frames)
        add_gate(net, gate(8))
        torch.testing.assert_close(net(frames), plain, rtol=0, atol=0)


@GATES
def test_a_gate_learns_and_only_then_changes_the_picture(gate: Callable[[int], nn.Module]) -> None:
    net, frames = net_and_frames()
    plain = net(frames).detach()
    added = gate(8)
    add_gate(net, added)
    optimizer = torch.optim.SGD(added.parameters(), lr=1.0)
    net(frames).square().mean().backward()
    optimizer.step()
    assert not torch.equal(net(frames), plain)


@GATES
def test_a_closed_gate_leaves_the_enlarged_frame_alone(gate: Callable[[int], nn.Module]) -> None:
    net, frames = net_and_frames()
    added = gate(8)
    add_gate(net, added)
    last = [module for module in added.modules() if isinstance(module, nn.Conv2d)][-1]
    assert last.bias is not None
    with torch.no_grad():
        last.bias.fill_(-3.0)
        enlarged = frames.repeat_interleave(2, 2).repeat_interleave(2, 3)
        torch.testing.assert_close(net(frames), enlarged)


def test_only_the_gate_of_a_pixel_tells_pixels_apart() -> None:
    torch.manual_seed(0)
    features = torch.rand(1, 8, 6, 5)
    pixel, whole = pixel_gate(8), squeeze_excite(8)
    with torch.no_grad():
        for gate in (pixel, whole):
            for parameter in gate.parameters():
                nn.init.normal_(parameter)
        assert pixel(features).shape == features.shape
        assert whole(features).shape == (1, 8, 1, 1)


@pytest.mark.parametrize(("gate", "weights"), [(pixel_gate, 256), (squeeze_excite, 128)])
def test_a_gate_has_the_weights_that_the_docs_say(
    gate: Callable[[int], nn.Module], weights: int
) -> None:
    assert sum(value.numel() for value in gate(16).parameters() if value.dim() == 4) == weights


def test_a_part_of_the_pictures_keeps_the_held_out_ones_out(stills: Path) -> None:
    media = find_media([stills])
    kept, parts = held_out(media), [one_in(4, seed, stills) for seed in range(4)]
    assert kept
    assert sorted(path for part in parts for path in part) == sorted(set(media) - kept)
    assert {len(part) for part in parts} == {4, 5}


def test_the_seed_decides_which_part_it_is(stills: Path) -> None:
    assert one_in(2, 0, stills) == one_in(2, 0, stills)
    assert one_in(2, 0, stills) != one_in(2, 1, stills)
    assert set(one_in(4, 1, stills)) < set(one_in(2, 1, stills))


def run(choice: Choice, stills: Path, folder: Path) -> float:
    return train(choice, 0, stills, folder, stills.parent / "cache", STEPS)


def test_a_network_scores_as_its_narrow_graph_does(stills: Path, tmp_path: Path) -> None:
    choice = Choice(SMALL, fields=PLAIN)
    run(choice, stills, tmp_path)
    sets = {"one": [Picture.of("one", picture(1), 2)]}
    narrow = score(open_run(choice, tmp_path, 1), sets)
    wide = score(TorchModel(load_net(tmp_path / CHECKPOINT)[0]), sets)
    assert wide["one"] == pytest.approx(narrow["one"], abs=1e-3)


def test_eight_bit_frames_are_rounded() -> None:
    net, _ = net_and_frames()
    model = TorchModel(net)
    frame = picture(1)[..., :1]
    found = model.upscale_u8(frame)
    assert found.dtype == np.uint8
    assert found.shape == (144, 192, 1)
    exact = model.upscale((frame / 255.0).astype(np.float32))
    np.testing.assert_allclose(found, exact * 255.0, atol=0.5001)


@GATES
def test_a_gated_run_is_averaged_kept_and_scored_with_its_gate(
    gate: Callable[[int], nn.Module], stills: Path, tmp_path: Path
) -> None:
    choice = Choice(SMALL, fields=PLAIN, gate=gate)
    value = run(choice, stills, tmp_path)
    model = open_run(choice, tmp_path, 1)
    assert isinstance(model, TorchModel)
    gates = {
        name: parameter
        for name, parameter in model.net.named_parameters()
        if ".gate." in name and parameter.dim() == 4
    }
    assert gates
    assert all(parameter.abs().max() > 0 for parameter in gates.values())
    assert run(choice, stills, tmp_path) == value


def test_a_linear_first_layer_is_trained_and_scored_so(stills: Path, tmp_path: Path) -> None:
    choice = Choice(SMALL, activation="relu", fields=PLAIN, linear_first=True)
    run(choice, stills, tmp_path)
    model = open_run(choice, tmp_path, 1)
    assert isinstance(model, TorchModel)
    kinds = [type(act).__name__ for act in model.net.get_submodule("acts").children()]
    assert kinds == ["Identity", "ReLU"]
    sets = {"one": [Picture.of("one", picture(1), 2)]}
    rectified = score(TorchModel(load_net(tmp_path / CHECKPOINT)[0]), sets)
    assert abs(score(model, sets)["one"] - rectified["one"]) > 0.1


def test_a_gate_learns_at_the_rate_of_its_choice(stills: Path, tmp_path: Path) -> None:
    moved = {}
    for rate in (0.0, 1.0, 10.0):
        choice = Choice(SMALL, fields=PLAIN, gate=pixel_gate, gate_rate=rate)
        run(choice, stills, tmp_path / str(rate))
        model = open_run(choice, tmp_path / str(rate), 1)
        assert isinstance(model, TorchModel)
        moved[rate] = float(model.net.get_parameter("last.gate.weight").detach().abs().mean())
    assert moved[0.0] == 0.0
    assert moved[10.0] > 5 * moved[1.0] > 0.0


def test_a_part_of_the_pictures_is_what_a_run_learns_from(stills: Path, tmp_path: Path) -> None:
    for every in (1, 4):
        folder = tmp_path / str(every)
        run(Choice(SMALL, fields=PLAIN, every=every), stills, folder)
        pictures = load_checkpoint(folder / CHECKPOINT)[1]["training"]["pictures"]
        assert pictures == len(one_in(every, 0, stills))


def test_a_taught_network_learns_what_its_teacher_says(stills: Path, tmp_path: Path) -> None:
    choice = Choice(SMALL, fields=PLAIN, taught={"teacher_weight": 1.0})
    with pytest.raises(SpecError, match="--teacher"):
        run(choice, stills, tmp_path / "alone")
    run(Choice(SMALL, fields=PLAIN), stills, tmp_path / "teacher")
    teacher = open_teacher(str(tmp_path / "teacher"))
    cache = stills.parent / "cache"
    train(choice, 0, stills, tmp_path / "taught", cache, STEPS, teacher)
    told = load_checkpoint(tmp_path / "taught" / CHECKPOINT)[1]["training"]["teacher"]
    assert (told["sha256"], told["weight"]) == (teacher.identity.sha256, 1.0)


def test_every_choice_makes_a_network_that_exists() -> None:
    for choice in CHOICES.values():
        assert net_spec(choice.net or NET, 2).family == "sesr"
