"""What published checkpoints call the weights, and what they are called here.

Each system's rules are tried in order on every name, each on the result of the one before, so one
list takes the names of BasicSR, of mmagic and of the authors.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TypeVar

V = TypeVar("V")
Rule = tuple[str, str | Callable[[re.Match[str]], str]]

#: Buffers that other implementations save and that are constants here.
_CONSTANTS = re.compile(
    r"(^|\.)(spynet\.(mean|std)|step_counter|num_batches_tracked)$|^srnet\.upsample_func\."
)
_WRAPPERS = ("module.", "generator_ema.", "generator.", "net_g.", "model.")


def _doubled(match: re.Match[str]) -> str:
    # mmagic counts SPyNet's convolutions alone, BasicSR the rectifiers between them too.
    return f"{match[1]}{2 * int(match[2])}."


_SPYNET: tuple[Rule, ...] = (
    (r"^(spynet\.basic_module\.\d\.basic_module\.)(\d)\.conv\.", _doubled),
)
_TAIL: tuple[Rule, ...] = (
    (r"^upsample(\d)\.upsample_conv\.", r"upconv\1."),
    (r"^HRconv\.", "conv_hr."),
    (r"^(upconv\d|conv_hr|conv_last)\.", r"tail.\1."),
)
_EDVR: tuple[Rule, ...] = (
    (r"(^|\.)feat_l(\d)_conv(\d)\.conv\.", r"\1conv_l\2_\3."),
    (r"pcd_alignment\.", "pcd_align."),
    (r"((pcd_align|fusion)\..*)\.conv\.(weight|bias)$", r"\1.\3"),
    (r"temporal_attn1\.", "temporal_attn.reference."),
    (r"temporal_attn2\.", "temporal_attn.neighbour."),
)
_TRUNKS: tuple[Rule, ...] = ((r"^(backward|forward)_resblocks\.", r"\1_trunk."),)


def _direction(match: re.Match[str]) -> str:
    kinds = {"dcnpack": "dcn_pack", "fea_conv": "feat_conv"}
    side = {"1": "first", "2": "second"}[match[3]]
    return f"between.from_{side}.{kinds.get(match[2], match[2])}.l{match[1]}."


_ZOOMING: tuple[Rule, ...] = (
    (r"^ConvBLSTM\.conv_1x1\.", "conv_1x1."),
    (r"^ConvBLSTM\.forward_net\.", "lstm."),
    (r"^lstm\.cell_list\.0\.conv\.", "lstm.gates."),
    (r"^(lstm\.pcd_[hc]\.)?fusion\.", r"\1between.fusion."),
    (r"pcd_align\.", "between."),
    (r"^fea_L", "pyramid.fea_L"),
    (r"between\.L(\d)_(offset_conv\d|dcnpack|fea_conv)_(\d)\.", _direction),
    (r"conv_offset_mask\.", "conv_offset."),
)


def _matching(match: re.Match[str]) -> str:
    level, kind = match[1], match[2]
    if level in ("L3", "cas") and kind in ("conv2", "conv3", "conv4"):
        kind = f"conv{int(kind[-1]) + 1}"
    return f"tmcam.levels.{level}.{kind}."


_MUCAN: tuple[Rule, ...] = (
    (r"^tmcam\.aggr\.(L\d|cas)_(conv\d|mask|nn_conv|fea_conv)\.", _matching),
    (r"^tmcam\.tf\.ref_conv\.", "tmcam.weights.reference."),
    (r"^tmcam\.tf\.nbr_conv\.", "tmcam.weights.neighbour."),
    (r"^tmcam\.tf\.up_conv\.", "tmcam.up_conv."),
    (r"\.sAtt_L(\d)\.", r".spatial_attn_l\1."),
    (r"\.sAtt_(\d)\.", r".spatial_attn\1."),
    (r"\.sAtt_add_(\d)\.", r".spatial_attn_add\1."),
)
_TDAN: tuple[Rule, ...] = (
    (r"^feat_extract\.0\.conv\.", "conv_first."),
    (r"^feat_extract\.1\.", "residual_layer."),
    (r"^feat_aggregate\.0\.", "cr."),
    (r"^feat_aggregate\.([12])\.", r"dconv_\1."),
    (r"^align_1\.", "dconv_3."),
    (r"^align_2\.", "dconv_4."),
    (r"^to_rgb\.", "recon_lr."),
    (r"^reconstruct\.0\.conv\.", "fea_ex."),
    (r"^reconstruct\.1\.", "recon_layer."),
    (r"^reconstruct\.2\.upsample_conv\.", "up1."),
    (r"^reconstruct\.3\.upsample_conv\.", "up2."),
    (r"^reconstruct\.4\.", "last."),
    (r"^off2d_(\d)\.", r"dconv_\1.conv_offset."),
    (r"^off2d\.", "dconv_4.conv_offset."),
    (r"^deconv_([23])\.", r"dconv_\1."),
    (r"^dconv\.", "dconv_4."),
    (r"^fea_ex\.0\.", "fea_ex."),
    (r"^up\.0\.0\.", "up1."),
    (r"^up\.0\.2\.", "up2."),
    (r"^up\.1\.", "last."),
)
_INTO_FEATURES: Rule = (
    r"^(conv_first|feature_extraction|conv_l\d_\d|pcd_align|fusion)\.", r"features.\1."
)  # fmt: skip

_RULES: Mapping[str, tuple[Rule, ...]] = {
    "edvr": (*_TAIL, *_EDVR, _INTO_FEATURES),
    "basicvsr": (*_SPYNET, *_TAIL, *_TRUNKS),
    "iconvsr": (*_SPYNET, *_TAIL, *_TRUNKS, *_EDVR),
    "basicvsrpp": (*_SPYNET, *_TAIL),
    "zoomingslowmo": (*_TAIL, *_ZOOMING),
    "mucan": _MUCAN,
    "tdan": _TDAN,
}


def unwrapped(weights: Mapping[str, V]) -> dict[str, V]:
    """Return the weights without trainers' prefixes and constants.

    Where a file holds both a network and its average, the average is taken.
    """
    names = dict(weights)
    if any(name.startswith("generator_ema.") for name in names):
        names = {name: value for name, value in names.items() if name.startswith("generator_ema.")}
    for prefix in _WRAPPERS:
        if names and all(name.startswith(prefix) or name == "step_counter" for name in names):
            names = {name.removeprefix(prefix): value for name, value in names.items()}
    return {name: value for name, value in names.items() if not _CONSTANTS.search(name)}


def renamed(weights: Mapping[str, V], module: str) -> dict[str, V]:
    """Return the weights under the names of the reference that lives in `module`."""
    rules = _RULES.get(module, ())
    return {_rename(name, rules): value for name, value in weights.items()}


def _rename(name: str, rules: tuple[Rule, ...]) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
