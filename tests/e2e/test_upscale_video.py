"""A video goes in, a video of twice the size comes out, and nothing else about it changes."""

from __future__ import annotations

import gc
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgevsr import upscale
from edgevsr.runtime.model import SrModel
from edgevsr.video.chroma import grids, resample
from edgevsr.video.source import VideoSource, side_data
from edgevsr.video.videos import upscale_video
from edgevsr.zoo import sample_clip
from tests.clips import (
    decode,
    noise,
    planar_frame,
    read_plane,
    seconds_of,
    write_clip,
)

VFR = (0, 40, 90, 91, 300, 1000, 1040, 2500)


def streams(path: Path) -> list[tuple[str, str, str | None]]:
    with av.open(str(path)) as container:
        return [
            (s.type, s.codec_context.codec.canonical_name, s.language)
            for s in container.streams
            if s.type in ("video", "audio", "subtitle")
        ]


def packets(path: Path, kind: str) -> list[tuple[Fraction, bytes]]:
    """Return the time and bytes of every packet of one kind of stream."""
    with av.open(str(path)) as container:
        stream = next(s for s in container.streams if s.type == kind)
        return [(p.pts * p.time_base, bytes(p)) for p in container.demux(stream) if p.size]


def chapters(path: Path) -> list[tuple[Fraction, Fraction, str]]:
    with av.open(str(path)) as container:
        return [
            (c["start"] * c["time_base"], c["end"] * c["time_base"], c["metadata"]["title"])
            for c in container.chapters()
        ]


@pytest.mark.parametrize("net", ["y", "int8"])
def test_luma_goes_straight_through_the_net(
    tmp_path: Path, nets: dict[str, Path], net: str
) -> None:
    """With a nearest-neighbour net and lossless coding, Y out is Y in, every pixel four times."""
    clip = write_clip(tmp_path / "in.mkv", codec="ffv1")
    result = upscale(clip, output=tmp_path / "out.mkv", net=nets[net], codec="ffv1")
    assert result.frames == 10
    assert result.runtime == ("litert" if net == "int8" else "onnxruntime")
    for before, after in zip(decode(clip), decode(tmp_path / "out.mkv"), strict=True):
        wanted = read_plane(before, 0).repeat(2, 0).repeat(2, 1)
        assert np.array_equal(read_plane(after, 0), wanted)
        grid = grids((2, 2), "left")
        chroma = resample(read_plane(before, 1), (64, 48), grid, grid, 2)
        assert np.array_equal(read_plane(after, 1), chroma)


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [
        (".mp4", "libx264"), (".mov", "libx264"), (".mkv", "libx264"), (".webm", "libvpx-vp9"),
        (".ts", "libx264"), (".mkv", "libx265"), (".mp4", "libsvtav1"), (".mov", "prores_ks"),
        (".mkv", "ffv1"),
    ],
)  # fmt: skip
def test_variable_frame_times_are_kept(
    tmp_path: Path, nets: dict[str, Path], suffix: str, codec: str
) -> None:
    """Uneven times and a late start survive every container exactly, in all its encoders."""
    if codec not in av.codecs_available:
        codec = "libx264"
    start = 1400
    clip = write_clip(tmp_path / "in.mkv", pts=[start + t for t in VFR], codec="ffv1")
    out = tmp_path / f"out{suffix}"
    upscale(clip, output=out, net=nets["y"], codec=codec)
    assert seconds_of(out) == [Fraction(start + t, 1000) for t in VFR]
    assert decode(out)[0].width == 128


def test_an_avi_that_left_frames_out_keeps_its_times(tmp_path: Path, nets: dict[str, Path]) -> None:
    """AVI counts the frames that were never written; the gaps stay gaps."""
    kept = [0, 1, 2, 4, 5, 8, 9]
    clip = write_clip(tmp_path / "in.avi", codec="mpeg4", pts=kept, time_base=Fraction(1, 25))
    upscale(clip, output=tmp_path / "out.mkv", net=nets["y"])
    assert seconds_of(tmp_path / "out.mkv") == [Fraction(time, 25) for time in kept]


def test_side_data_without_a_name_is_passed_over() -> None:
    """FFmpeg knows kinds that PyAV does not, such as EXIF, and refuses to list a frame's then."""

    class Frame:
        @property
        def side_data(self) -> Any:
            raise ValueError("31 is not a valid Type")

    assert side_data(Frame()) == []


def test_odd_time_bases_are_kept(tmp_path: Path, nets: dict[str, Path]) -> None:
    """29.97 FPS in ticks of 1/30000 stays in those ticks."""
    clip = write_clip(
        tmp_path / "in.mp4",
        pts=range(0, 10010, 1001),
        time_base=Fraction(1, 30000),
    )
    upscale(clip, output=tmp_path / "out.mp4", net=nets["y"])
    with av.open(str(clip)) as before, av.open(str(tmp_path / "out.mp4")) as after:
        assert after.streams.video[0].time_base == before.streams.video[0].time_base
    assert seconds_of(tmp_path / "out.mp4") == [Fraction(1001 * i, 30000) for i in range(10)]


@pytest.mark.parametrize(
    ("suffix", "audio", "subtitle"),
    [(".mp4", "aac", "mov_text"), (".mkv", "libopus", "subrip"), (".mkv", "aac", "ass")],
)
def test_everything_beside_the_frames_is_kept(
    tmp_path: Path, nets: dict[str, Path], suffix: str, audio: str, subtitle: str
) -> None:
    """Sound and subtitles bit for bit and in time; chapters, languages, title, rotation, aspect."""
    clip = write_clip(
        tmp_path / f"in{suffix}",
        audio=audio,
        subtitle=subtitle,
        chapters=True,
        rotation=90,
        aspect=Fraction(4, 3),
        metadata={"title": "A title"},
        tags={"color_range": 1, "colorspace": 1, "color_primaries": 9, "color_trc": 16},
    )
    out = tmp_path / f"out{suffix}"
    result = upscale(clip, output=out, net=nets["y"])
    assert result.dropped == ()
    assert streams(out) == streams(clip)
    assert packets(out, "audio") == packets(clip, "audio")
    assert packets(out, "subtitle") == packets(clip, "subtitle")
    assert chapters(out) == chapters(clip)
    assert len(chapters(out)) == 2
    assert seconds_of(out) == seconds_of(clip)
    frame = decode(out)[0]
    assert frame.rotation == 90
    assert (frame.width, frame.height) == (128, 96)
    tags = frame.color_range, frame.colorspace, frame.color_primaries, frame.color_trc
    assert tags == (1, 1, 9, 16)
    with av.open(str(out)) as container:
        assert container.streams.video[0].sample_aspect_ratio == Fraction(4, 3)
        assert container.metadata["title"] == "A title"


def test_sound_that_starts_before_zero_moves_no_frame(
    tmp_path: Path, nets: dict[str, Path]
) -> None:
    """AAC's padding lies before 0 in .mp4; in .mkv the frames stay at their times all the same."""
    clip = write_clip(tmp_path / "in.mp4", audio="aac")
    assert packets(clip, "audio")[0][0] < 0
    upscale(clip, output=tmp_path / "out.mkv", net=nets["y"])
    assert seconds_of(tmp_path / "out.mkv") == seconds_of(clip)


def test_what_a_container_cannot_hold_is_named(
    tmp_path: Path, nets: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """SubRip in .mp4 and .webm, and rotation and chapters in .ts, are told on stderr."""
    clip = write_clip(tmp_path / "in.mkv", audio="libopus", subtitle="subrip", chapters=True)
    result = upscale(clip, output=tmp_path / "out.mp4", net=nets["y"])
    assert [kind for kind, _, _ in streams(tmp_path / "out.mp4")] == ["video", "audio"]
    assert len(result.dropped) == 1
    assert "subtitle stream 2" in result.dropped[0]
    captured = capsys.readouterr()
    assert "fra" in captured.err
    assert captured.out == ""
    turned = write_clip(tmp_path / "turned.mp4", rotation=90, chapters=True)
    lost = upscale(turned, output=tmp_path / "out.ts", net=nets["y"]).dropped
    assert lost == ("rotation", "2 chapters")


def test_tiles_equal_the_whole_frame(tmp_path: Path, nets: dict[str, Path]) -> None:
    """int8 in tiles is bit for bit the int8 of the whole frame."""
    clip = write_clip(tmp_path / "in.mkv", codec="ffv1", size=(96, 80), pts=[0, 40])
    for name, tile in (("whole", None), ("tiled", 32)):
        upscale(clip, output=tmp_path / f"{name}.mkv", net=nets["sesr"], codec="ffv1", tile=tile)
    pairs = zip(decode(tmp_path / "whole.mkv"), decode(tmp_path / "tiled.mkv"), strict=True)
    for whole, tiled in pairs:
        assert np.array_equal(read_plane(whole, 0), read_plane(tiled, 0))


def test_the_result_says_what_was_done(tmp_path: Path, nets: dict[str, Path]) -> None:
    """The JSON holds what scripts rely on."""
    clip = write_clip(tmp_path / "in.mp4")
    values = upscale(clip, output=tmp_path / "out.mp4", net=nets["y"]).to_json()
    assert values["frames"] == 10
    assert values["fps"] == pytest.approx(values["frames"] / values["seconds"])
    assert values["output"] == str(tmp_path / "out.mp4")
    assert values["dropped"] == []
    assert min(values[f"{lane}_seconds"] for lane in ("decode", "net", "encode")) > 0
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4", "out.mp4"]


def test_memory_does_not_grow_with_length(tmp_path: Path, nets: dict[str, Path]) -> None:
    """Of 200 frames no more are alive than the queues between the threads hold."""
    model = SrModel.open(nets["y"])
    clip = write_clip(tmp_path / "in.mp4", pts=range(0, 8000, 40))
    alive: list[int] = []

    def net(lr: Any) -> Any:
        frames = [thing for thing in gc.get_objects() if type(thing) is av.VideoFrame]
        alive.append(sum(frame.width > 16 for frame in frames))
        return model.upscale_u8(lr)

    # What was there before is left out of the walk, which would take longer than a frame does.
    gc.freeze()
    try:
        with VideoSource.open(clip) as source:
            upscale_video(source, tmp_path / "out.mp4", net, channels=1, scale=2)
    finally:
        gc.unfreeze()
    assert len(alive) == 200
    assert 1 <= max(alive) <= 32


def test_the_sample_clip_is_upscaled_whole(tmp_path: Path, nets: dict[str, Path]) -> None:
    """The clip that ships: 60 frames of 640x360 with sound become 1280x720 with the same sound."""
    out = tmp_path / "out.mp4"
    result = upscale(sample_clip(), output=out, net=nets["y"], crf=30)
    assert result.frames == 60
    assert seconds_of(out) == [Fraction(i, 25) for i in range(60)]
    assert packets(out, "audio") == packets(sample_clip(), "audio")
    frame = decode(out)[0]
    assert (frame.width, frame.height, frame.colorspace) == (1280, 720, 1)


def test_helpers_write_what_they_say(tmp_path: Path) -> None:
    """The lossless clips of these tests hold the noise that they were given."""
    clip = write_clip(tmp_path / "in.mkv", codec="ffv1", pts=[0, 40])
    assert np.array_equal(read_plane(decode(clip)[1], 2), noise(1, 2, 24, 32))
    assert planar_frame("yuv420p", (64, 48), 0, noise).format.name == "yuv420p"
