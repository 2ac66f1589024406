"""Published checkpoints: their names, and a clear word where they do not fit."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from edgevsr.errors import SourceError, SpecError
from edgevsr.nets.references import build_reference, load_reference
from edgevsr.nets.references.loading import build_shapes
from edgevsr.nets.references.public_names import renamed, unwrapped


@pytest.fixture(scope="module")
def espcn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "espcn.pth"
    torch.save({"params": build_reference("espcn").state_dict()}, path)
    return path


def test_a_checkpoint_comes_back_as_it_was(espcn: Path) -> None:
    net = load_reference("espcn", espcn)
    saved = torch.load(espcn, weights_only=True)["params"]
    assert all(torch.equal(value, saved[name]) for name, value in net.state_dict().items())
    assert not net.training


def test_safetensors_load_too(espcn: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "espcn.safetensors"
    save_file(torch.load(espcn, weights_only=True)["params"], path)
    assert sum(v.numel() for v in load_reference("espcn", path).parameters()) == 24_752


@pytest.mark.parametrize("prefix", ["module.", "generator.", "net_g.", "module.generator."])
def test_trainers_prefixes_are_taken_off(prefix: str, espcn: Path, tmp_path: Path) -> None:
    weights = torch.load(espcn, weights_only=True)["params"]
    path = tmp_path / "wrapped.pth"
    torch.save({"state_dict": {prefix + key: value for key, value in weights.items()}}, path)
    load_reference("espcn", path)


def _mmagic_basicvsr(name: str) -> str:
    """Our name of a weight to mmagic's."""
    name = re.sub(r"^tail\.upconv(\d)\.", r"upsample\1.upsample_conv.", name)
    name = re.sub(r"^tail\.", "", name)
    name = re.sub(r"^(backward|forward)_trunk\.", r"\1_resblocks.", name)
    name = re.sub(r"^(edvr\.)conv_l(\d)_(\d)\.", r"\1feat_l\2_conv\3.conv.", name)
    name = name.replace("pcd_align.", "pcd_alignment.")
    inner = r"(offset_conv\d\.l\d|feat_conv\.l\d|cas_offset_conv\d)\."
    name = re.sub(rf"(pcd_alignment\.){inner}", r"\1\2.conv.", name)
    plain = ("temporal_attn", "spatial_attn5", "spatial_attn_add2")
    if ".fusion." in name and not any(part in name for part in plain):
        name = re.sub(r"\.(weight|bias)$", r".conv.\1", name)
    name = name.replace("temporal_attn.reference.", "temporal_attn1.")
    name = name.replace("temporal_attn.neighbour.", "temporal_attn2.")

    def halved(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) // 2}.conv."

    return re.sub(r"^(spynet\.basic_module\.\d\.basic_module\.)(\d)\.", halved, name)


def _basicsr(name: str) -> str:
    name = re.sub(r"^(tail|features)\.", "", name)
    name = name.replace("temporal_attn.reference.", "temporal_attn1.")
    return name.replace("temporal_attn.neighbour.", "temporal_attn2.")


def _tdan_authors(name: str) -> str:
    rules = (
        (r"^dconv_4\.conv_offset\.", "off2d."),
        (r"^dconv_(\d)\.conv_offset\.", r"off2d_\1."),
        (r"^dconv_4\.", "dconv."),
        (r"^dconv_([23])\.", r"deconv_\1."),
        (r"^fea_ex\.", "fea_ex.0."),
        (r"^up1\.", "up.0.0."),
        (r"^up2\.", "up.0.2."),
        (r"^last\.", "up.1."),
    )
    for pattern, replacement in rules:
        renamed_ = re.sub(pattern, replacement, name)
        if renamed_ != name:
            return renamed_
    return name


def _zooming(name: str) -> str:
    name = re.sub(r"^tail\.conv_hr\.", "HRconv.", name)
    name = re.sub(r"^tail\.", "", name)
    name = re.sub(r"^pyramid\.", "", name)
    name = re.sub(r"^conv_1x1\.", "ConvBLSTM.conv_1x1.", name)
    name = re.sub(r"^lstm\.gates\.", "ConvBLSTM.forward_net.cell_list.0.conv.", name)
    name = re.sub(r"^lstm\.", "ConvBLSTM.forward_net.", name)
    name = name.replace("between.fusion.", "fusion.")
    name = name.replace("dcn_pack", "dcnpack").replace("feat_conv", "fea_conv")

    def level(match: re.Match[str]) -> str:
        side = {"first": 1, "second": 2}[match[1]]
        return f"pcd_align.L{match[3]}_{match[2]}_{side}."

    name = re.sub(r"between\.from_(\w+)\.(\w+)\.l(\d)\.", level, name)
    return name.replace(".conv_offset.", ".conv_offset_mask.")


def _mucan(name: str) -> str:
    def level(match: re.Match[str]) -> str:
        name, kind = match[1], match[2]
        if name in ("L3", "cas") and kind in ("conv3", "conv4", "conv5"):
            kind = f"conv{int(kind[-1]) - 1}"
        return f"tmcam.aggr.{name}_{kind}."

    name = re.sub(r"^tmcam\.levels\.(L\d|cas)\.(\w+)\.", level, name)
    name = name.replace("tmcam.weights.reference.", "tmcam.tf.ref_conv.")
    name = name.replace("tmcam.weights.neighbour.", "tmcam.tf.nbr_conv.")
    name = name.replace("tmcam.up_conv.", "tmcam.tf.up_conv.")
    name = re.sub(r"spatial_attn_l(\d)", r"sAtt_L\1", name)
    name = re.sub(r"spatial_attn_add(\d)", r"sAtt_add_\1", name)
    return re.sub(r"spatial_attn(\d)", r"sAtt_\1", name)


PUBLIC: list[tuple[str, str, Callable[[str], str], str]] = [
    ("basicvsr", "basicvsr", _basicsr, "upconv1.weight"),
    ("basicvsr", "basicvsr", _mmagic_basicvsr, "spynet.basic_module.0.basic_module.4.conv.bias"),
    ("iconvsr", "iconvsr", _basicsr, "edvr.fusion.temporal_attn1.weight"),
    ("iconvsr", "iconvsr", _mmagic_basicvsr, "edvr.fusion.spatial_attn_l2.conv.weight"),
    ("basicvsr-pp", "basicvsrpp", _mmagic_basicvsr, "upsample2.upsample_conv.weight"),
    ("edvr-m", "edvr", _basicsr, "pcd_align.cas_dcnpack.conv_offset.weight"),
    ("tdan", "tdan", _tdan_authors, "off2d_2.bias"),
    ("zooming-slowmo", "zoomingslowmo", _zooming,
     "ConvBLSTM.forward_net.pcd_h.pcd_align.L2_dcnpack_1.conv_offset_mask.weight"),
    ("mucan", "mucan", _mucan, "tmcam.aggr.cas_conv4.conv.weight"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "module", "public", "known"), PUBLIC)
def test_public_names_find_their_place(
    name: str, module: str, public: Callable[[str], str], known: str
) -> None:
    own = build_shapes(name).state_dict()
    theirs = {public(key): tuple(value.shape) for key, value in own.items()}
    assert len(theirs) == len(own)
    assert known in theirs  # a name as it stands in the public code
    found = renamed(unwrapped(theirs), module)
    assert found == {key: tuple(value.shape) for key, value in own.items()}


def test_constants_of_other_implementations_are_left_out() -> None:
    names = {"generator.spynet.mean": 1, "generator.fusion.weight": 2, "step_counter": 3}
    assert unwrapped(names) == {"fusion.weight": 2}


def test_an_average_is_preferred() -> None:
    names = {"generator.a.weight": 1, "generator_ema.a.weight": 2, "discriminator.a.weight": 3}
    assert unwrapped(names) == {"a.weight": 2}


def test_another_architecture_is_named(tmp_path: Path) -> None:
    path = tmp_path / "which.pth"
    torch.save(build_reference("espcn").state_dict(), path)
    with pytest.raises(SourceError) as caught:
        load_reference("srcnn", path)
    message = str(caught.value)
    assert "It is a checkpoint of espcn" in message
    assert "conv1.weight is (64, 1, 5, 5), expected (64, 1, 9, 9)" in message


def test_another_scale_is_told_from_another_architecture(tmp_path: Path) -> None:
    weights = build_reference("rrn").state_dict()
    weights["neuro.conv_o.weight"] = torch.zeros(12, 128, 3, 3)
    weights["neuro.conv_o.bias"] = torch.zeros(12)
    path = tmp_path / "x2.pth"
    torch.save(weights, path)
    with pytest.raises(SourceError, match=r"at x4.*nearest is rrn.*another size or scale"):
        load_reference("rrn", path)


def test_missing_and_unexpected_weights_are_listed(espcn: Path, tmp_path: Path) -> None:
    weights = torch.load(espcn, weights_only=True)["params"]
    weights["extra.weight"] = weights.pop("conv3.bias")
    path = tmp_path / "odd.pth"
    torch.save(weights, path)
    with pytest.raises(SourceError, match=r"1 missing \(conv3.bias\); 1 unexpected \(extra.weight"):
        load_reference("espcn", path)


class _Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("__import__('pathlib').Path('sprung').touch()",)


def _pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(_Trap()))


def _object(path: Path) -> None:
    torch.save({"params": _Trap()}, path)


def _cut(path: Path) -> None:
    torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:900])


@pytest.mark.parametrize(
    "write",
    [
        _pickled,
        _object,
        _cut,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x00" * 4096),
        lambda path: torch.save([1, 2, 3], path),
        lambda path: torch.save({"params": {"a": 1}}, path),
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_and_hostile_files_are_refused_in_one_line(
    write: Callable[[Path], object], suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / f"bad{suffix}"
    write(path)
    with pytest.raises(SourceError) as caught:
        load_reference("espcn", path)
    assert str(caught.value).startswith(f"{path}: ")
    assert not (tmp_path / "sprung").exists()


def test_values_that_are_not_finite_are_refused(espcn: Path, tmp_path: Path) -> None:
    weights = torch.load(espcn, weights_only=True)["params"]
    weights["conv1.weight"][0, 0, 0, 0] = float("nan")
    path = tmp_path / "nan.pth"
    torch.save(weights, path)
    with pytest.raises(SourceError, match="not finite"):
        load_reference("espcn", path)


def test_a_missing_file_and_an_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such checkpoint"):
        load_reference("espcn", tmp_path / "none.pth")
    with pytest.raises(SpecError, match="espcn"):
        load_reference("espnc", tmp_path / "none.pth")
