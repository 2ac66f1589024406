"""The survey's systems: exact sizes, shapes that fit any frame, clips of any length, training."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from edgevsr.errors import DataError, SpecError
from edgevsr.nets.references import build_reference, run_clip
from edgevsr.nets.references.base import (
    Bidirectional,
    Recurrent,
    Reference,
    SlidingWindow,
    bicubic,
    luma,
    window_indices,
    with_luma,
)
from edgevsr.nets.references.basicvsr import BasicVsr
from edgevsr.nets.references.basicvsrpp import BasicVsrPlusPlus
from edgevsr.nets.references.brcn import Brcn
from edgevsr.nets.references.catalogue import SYSTEMS, find_system
from edgevsr.nets.references.counting import count_reference
from edgevsr.nets.references.duf import Duf, _filtered
from edgevsr.nets.references.edvr import Edvr
from edgevsr.nets.references.flow_classic import variational_flow
from edgevsr.nets.references.frvsr import Frvsr, _fold
from edgevsr.nets.references.iconvsr import IconVsr
from edgevsr.nets.references.loading import build_shapes
from edgevsr.nets.references.mucan import Mucan, _correlation
from edgevsr.nets.references.rbpn import Rbpn
from edgevsr.nets.references.rrn import Rrn
from edgevsr.nets.references.rsdn import Rsdn
from edgevsr.nets.references.running import Pieces, pieces_for, stream
from edgevsr.nets.references.single import Espcn, Srcnn
from edgevsr.nets.references.tdan import Tdan
from edgevsr.nets.references.warping import flow_warp
from edgevsr.nets.references.zoomingslowmo import ZoomingSlowMo

#: What was published, exactly, or counted where nothing exact was.
PARAMS = {
    "srcnn": 8_129,
    "espcn": 24_752,
    "brcn": 42_562,
    "frvsr": 5_054_693,
    "duf-16": 1_900_640,
    "duf-28": 2_118_432,
    "duf-52": 5_821_952,
    "rbpn": 12_771_943,
    "tdan": 1_970_819,
    "edvr-m": 3_300_131,
    "edvr": 20_633_827,
    "mucan": 25_660_579,
    "rsdn": 6_180_236,
    "rrn": 3_364_400,
    "basicvsr": 6_291_311,
    "iconvsr": 8_694_991,
    "basicvsr-pp": 7_322_927,
    "zooming-slowmo": 11_102_771,
}

#: Every architecture, as small as it can be built.
SMALL: dict[str, tuple[type[Reference], dict[str, int]]] = {
    "srcnn": (Srcnn, {}),
    "espcn": (Espcn, {}),
    "brcn": (Brcn, {}),
    "frvsr": (Frvsr, {"channels": 8, "blocks": 1}),
    "duf": (Duf, {"layers": 16}),
    "rbpn": (Rbpn, {"base": 8, "channels": 4, "blocks": 1}),
    "tdan": (Tdan, {"channels": 8}),
    "edvr": (Edvr, {"channels": 8, "blocks": 1}),
    "mucan": (Mucan, {"channels": 8, "blocks": 1}),
    "rsdn": (Rsdn, {"channels": 8}),
    "rrn": (Rrn, {"channels": 8, "blocks": 1}),
    "basicvsr": (BasicVsr, {"channels": 8, "blocks": 1}),
    "iconvsr": (IconVsr, {"channels": 8, "blocks": 1}),
    "basicvsr-pp": (BasicVsrPlusPlus, {"channels": 16, "blocks": 1}),
    "zooming-slowmo": (ZoomingSlowMo, {"channels": 8, "front": 1, "back": 1}),
}


def small(name: str) -> Reference:
    torch.manual_seed(0)
    kind, options = SMALL[name]
    return kind(**options)


def test_the_table_holds_every_system() -> None:
    assert PARAMS.keys() == SYSTEMS.keys()
    assert {type(build_shapes(name)) for name in SYSTEMS} == {kind for kind, _ in SMALL.values()}


@pytest.mark.parametrize("name", PARAMS)
def test_it_has_exactly_the_published_number_of_parameters(name: str) -> None:
    net = build_shapes(name)
    assert sum(value.numel() for value in net.parameters()) == PARAMS[name]
    assert SYSTEMS[name].params == PARAMS[name]


@pytest.mark.parametrize("name", SMALL)
def test_frames_of_any_size_come_out_four_times_larger(name: str) -> None:
    net = small(name).eval()
    frames = max(net.least, 2)
    clip = torch.rand(frames, 3, 9, 11)
    sr = run_clip(net, clip)
    count = 2 * frames - 1 if name == "zooming-slowmo" else frames
    assert sr.shape == (count, 3, 36, 44)
    assert torch.isfinite(sr).all()


@pytest.mark.parametrize("name", SMALL)
def test_the_smallest_frames_run(name: str) -> None:
    net = small(name).eval()
    assert run_clip(net, torch.rand(max(net.least, 2), 3, 2, 1)).shape[-2:] == (8, 4)


@pytest.mark.parametrize("name", SMALL)
def test_a_streamed_clip_is_the_whole_clip(name: str) -> None:
    net = small(name).eval()
    clip = torch.rand(net.least + 2, 3, 12, 8)
    with torch.no_grad():
        whole = net(clip[None])[0]
    assert torch.allclose(run_clip(net, clip), whole, atol=1e-5)


@pytest.mark.parametrize("name", SMALL)
def test_a_few_steps_reduce_the_loss_and_reach_every_parameter(name: str) -> None:
    net = small(name).train()
    frames = max(net.least, 3)
    clip = torch.rand(1, frames, 3, 8, 8)
    count = 2 * frames - 1 if name == "zooming-slowmo" else frames
    truth = torch.rand(1, count, 3, 8, 8).repeat_interleave(4, -1).repeat_interleave(4, -2)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    reached: set[str] = set()
    losses = []
    for _ in range(6):
        # A window at a time is how such a net is trained; its other windows would only add time.
        window = isinstance(net, SlidingWindow)
        sr = net.centre(clip)[:, None] if window else net(clip)
        loss = nn.functional.mse_loss(sr, truth[:, :1] if window else truth)
        optimizer.zero_grad()
        loss.backward()
        # What starts at zero hides what lies before it for a step.
        reached |= {
            key for key, value in net.named_parameters()
            if value.grad is not None and bool(value.grad.abs().sum() > 0)
        }  # fmt: skip
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert {key for key, _ in net.named_parameters()} - reached == set()


@pytest.mark.parametrize("name", [n for n, (k, _) in SMALL.items() if issubclass(k, Bidirectional)])
def test_pieces_give_every_frame_once_and_nearly_as_the_whole(name: str) -> None:
    net = small(name).eval()
    clip = torch.rand(13, 3, 8, 8)
    whole = run_clip(net, clip)
    pieces = run_clip(net, clip, Pieces(9, 3))
    assert pieces.shape == whole.shape
    # The first piece's own frames have seen nothing differ behind them.
    assert torch.nn.functional.mse_loss(pieces, whole) < 0.05 * whole.var()


def test_pieces_shorten_as_frames_grow() -> None:
    net = small("basicvsr")
    assert pieces_for(net, 180, 320) == Pieces(100, 10)
    large = pieces_for(build_reference("basicvsr"), 1080, 1920)
    assert 6 <= large.frames < 10
    assert large.fresh >= 1


def test_too_few_frames_are_refused() -> None:
    for name in ("edvr", "duf", "iconvsr", "basicvsr"):
        net = small(name)
        with pytest.raises(DataError, match="at least"):
            net(torch.rand(1, net.least - 1, 3, 8, 8))
        with pytest.raises(DataError, match="at least"):
            run_clip(net, torch.rand(net.least - 1, 3, 8, 8))


def test_a_stream_of_the_past_holds_no_clip() -> None:
    net = small("rrn")
    given = 0

    def frames() -> object:
        nonlocal given
        for _ in range(50):
            given += 1
            yield torch.rand(3, 4, 4)

    source = stream(net, frames())  # type: ignore[arg-type]
    next(source)
    assert given == 2


def test_an_unknown_reference_names_the_nearest() -> None:
    with pytest.raises(SpecError, match="basicvsr"):
        find_system("basicvsrr")
    assert find_system("BasicVSR++").name == "basicvsr-pp"


def test_windows_mirror_at_the_ends() -> None:
    assert window_indices(0, 7, 5) == [2, 1, 0, 1, 2]
    assert window_indices(3, 7, 5) == [1, 2, 3, 4, 5]
    assert window_indices(6, 7, 5) == [4, 5, 6, 5, 4]


def test_keyframes_beyond_the_ends_come_from_beside_the_window() -> None:
    net = small("iconvsr")
    assert isinstance(net, IconVsr)
    assert net._window(0, 9) == [4, 3, 0, 1, 2]
    assert net._window(5, 9) == [3, 4, 5, 6, 7]
    assert net._window(9, 9) == [7, 8, 9, 6, 5]


def test_a_flow_of_whole_pixels_moves_the_picture() -> None:
    x = torch.rand(1, 2, 6, 8)
    flow = torch.zeros(1, 2, 6, 8)
    flow[:, 0], flow[:, 1] = 2.0, -1.0
    moved = flow_warp(x, flow)
    assert torch.allclose(moved[..., 1:, :6], x[..., :5, 2:], atol=1e-5)
    assert (moved[..., 0, :].abs() < 1e-5).all()


def test_classic_flow_finds_a_shift() -> None:
    torch.manual_seed(0)
    noise = torch.rand(1, 3, 12, 12)
    picture = nn.functional.interpolate(noise, size=(72, 72), mode="bicubic").clamp(0, 1)
    frame, other = picture[..., 4:-4, 4:-4], picture[..., 3:-5, 2:-6]
    flow = variational_flow(frame, other)[..., 12:-12, 12:-12]
    assert abs(float(flow[:, 0].median()) - 2.0) < 0.05
    assert abs(float(flow[:, 1].median()) - 1.0) < 0.05


def test_correlation_is_the_product_of_patches() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(1, 3, 5, 6), torch.rand(1, 3, 5, 6)
    reach, (y, x), (dy, dx) = 2, (2, 3), (-1, 2)
    got = _correlation(a, b, reach)[0, (dy + reach) * 5 + dx + reach, y, x] * 9
    padded = nn.functional.pad(b, (3, 3, 3, 3))
    patch = padded[0, :, y + dy + 2 : y + dy + 5, x + dx + 2 : x + dx + 5]
    inside = a[0, :, y - 1 : y + 2, x - 1 : x + 2]
    assert torch.allclose(got, (inside * patch).sum(), atol=1e-5)


def test_a_filter_of_the_middle_tap_leaves_the_frame() -> None:
    frame = torch.rand(1, 3, 4, 5)
    logits = torch.full((1, 25 * 16, 4, 5), -50.0)
    logits.view(1, 25, 16, 4, 5)[:, 12] = 50.0
    out = _filtered(frame, logits, 4).view(1, 3, 16, 4, 5)
    assert torch.allclose(out, frame[:, :, None].expand_as(out), atol=1e-5)


def test_folding_puts_place_before_colour() -> None:
    x = torch.arange(2 * 4 * 4, dtype=torch.float32).view(1, 2, 4, 4)
    folded = _fold(x, 2)
    assert folded[0, :, 0, 0].tolist() == [0.0, 16.0, 1.0, 17.0, 4.0, 20.0, 5.0, 21.0]


def test_luma_alone_is_replaced() -> None:
    rgb = torch.rand(2, 3, 5, 5)
    wanted = torch.rand(2, 1, 5, 5)
    changed = with_luma(rgb, wanted)
    assert torch.allclose(luma(changed), wanted, atol=1e-5)
    difference = changed - rgb
    assert torch.allclose(difference[:, 0], difference[:, 1], atol=1e-6)


def test_bicubic_keeps_leading_dimensions() -> None:
    assert bicubic(torch.rand(2, 3, 1, 4, 5), 4).shape == (2, 3, 1, 16, 20)


def test_macs_are_those_counted_by_hand() -> None:
    # ESPCN: 5·5·64 + 3·3·64·32 + 3·3·32·16 a pixel.
    espcn = 25 * 64 + 9 * 64 * 32 + 9 * 32 * 16
    assert count_reference(SYSTEMS["espcn"], (320, 180)).macs == espcn * 320 * 180
    # SRCNN works on pixels that bicubic has made sixteen of.
    assert count_reference(SYSTEMS["srcnn"], (20, 10)).macs == (81 * 64 + 64 * 32 + 25 * 32) * 3200
    # RRN: input, 20 trunk convolutions, hidden state, residual.
    rrn = 9 * ((48 + 128 + 6) * 128 + 21 * 128 * 128 + 128 * 48)
    assert count_reference(SYSTEMS["rrn"], (320, 180)).macs == rrn * 320 * 180


def test_kinds_say_what_a_frame_is_made_of() -> None:
    kinds = {"window": SlidingWindow, "past": Recurrent, "clip": Bidirectional}
    for name, system in SYSTEMS.items():
        assert isinstance(build_shapes(name), kinds.get(system.sees, Reference))
