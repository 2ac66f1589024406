"""Whatever goes wrong: one clear line, exit 2, and nothing half-written."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from edgevsr import upscale
from edgevsr.errors import DataError, EdgeVsrError, SpecError
from tests.clips import nearest_graph, planar_frame, write_clip, write_net
from tests.graphs import sesr_graph


@pytest.fixture(scope="session")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A net that costs nothing."""
    return write_net(tmp_path_factory.mktemp("nets") / "y.onnx", nearest_graph())


def grain(frame: int, plane: int, height: int, width: int) -> np.ndarray:
    """Noise that compresses to nothing less, so that a cut hits pictures."""
    return np.random.default_rng(frame * 3 + plane).integers(0, 256, (height, width))


def fast_start(clip: Path, out: Path) -> Path:
    """Rewrite an .mp4 with its index first, as those for the web have it."""
    options = {"movflags": "+faststart"}
    with av.open(str(clip)) as source, av.open(str(out), "w", container_options=options) as sink:
        copies = {s.index: sink.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = copies[packet.stream_index]
                sink.mux(packet)
    return out


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("kind", ["index last", "index first", "mkv", "avi"])
def test_a_file_cut_short_is_an_error(tmp_path: Path, net: Path, kind: str, share: float) -> None:
    """A copy that broke off is found out, wherever it broke, and no output is left."""
    suffix = f".{kind}" if kind in ("mkv", "avi") else ".mp4"
    clip = write_clip(
        tmp_path / f"whole{suffix}",
        codec="mpeg4" if kind == "avi" else "libx264",
        pts=range(100),
        time_base=Fraction(1, 25),
        values=grain,
    )
    if kind == "index first":
        clip = fast_start(clip, tmp_path / "first.mp4")
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(clip.read_bytes()[: int(clip.stat().st_size * share)])
    with pytest.raises(DataError, match=r"cut short|is damaged") as caught:
        upscale(cut, output=tmp_path / "out.mp4", net=net)
    assert_clean(tmp_path, caught.value)
    assert upscale(clip, output=tmp_path / "out.mp4", net=net).frames == 100


def test_damage_inside_is_an_error(tmp_path: Path, net: Path) -> None:
    """Flipped bytes in the middle are not passed on as a picture."""
    clip = fast_start(
        write_clip(tmp_path / "in.mp4", pts=range(0, 2000, 40), values=grain),
        tmp_path / "first.mp4",
    )
    data = bytearray(clip.read_bytes())
    for position in np.random.default_rng(0).integers(len(data) // 3, len(data), 200):
        data[position] ^= 0xFF
    (tmp_path / "bad.mp4").write_bytes(data)
    with pytest.raises(DataError, match="damaged") as caught:
        upscale(tmp_path / "bad.mp4", output=tmp_path / "out.mp4", net=net)
    assert_clean(tmp_path, caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.mp4", b"", "cannot be read as a video"),
        ("text.mp4", b"hello " * 500, "cannot be read as a video"),
        ("random.mkv", bytes(range(256)) * 40, "cannot be read as a video"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nother.ts\n#EXT-X-ENDLIST\n", "playlist|cannot be"),
        ("list.txt", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "playlist|cannot be"),
        ("absent.mp4", None, "no such file"),
    ],
)
def test_what_is_no_video_is_said(
    tmp_path: Path, net: Path, name: str, content: bytes | None, words: str
) -> None:
    """Empty, foreign and missing files, and playlists that would open other files."""
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words) as caught:
        upscale(tmp_path / name, output=tmp_path / "out.mp4", net=net)
    assert_clean(tmp_path, caught.value)


def test_sound_alone_is_no_video(tmp_path: Path, net: Path) -> None:
    """A file without pictures says so."""
    with av.open(str(tmp_path / "in.mka"), "w", format="matroska") as out:
        stream = out.add_stream("libopus", rate=48000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.zeros((2, 960), np.float32), format="fltp", layout="stereo"
        )
        frame.sample_rate, frame.pts = 48000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(DataError, match="holds no video stream"):
        upscale(tmp_path / "in.mka", output=tmp_path / "out.mp4", net=net)


def test_frames_that_change_size_are_an_error(tmp_path: Path, net: Path) -> None:
    """One line says when and from what to what."""
    path = tmp_path / "in.ts"
    parts = []
    for index, size in enumerate(((64, 48), (96, 64))):
        part = tmp_path / f"{index}.h264"
        with av.open(str(part), "w") as out:
            stream = out.add_stream("libx264", rate=25)
            stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
            for number in range(5):
                frame = planar_frame("yuv420p", size, number, grain)
                frame.pts, frame.time_base = number, Fraction(1, 25)
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        parts.append(part.read_bytes())
    path = tmp_path / "in.h264"
    path.write_bytes(b"".join(parts))
    with pytest.raises(DataError, match="from 64x48 to 96x64") as caught:
        upscale(path, output=tmp_path / "out.mp4", net=net)
    assert_clean(tmp_path, caught.value)


@pytest.mark.parametrize(
    ("output", "options", "words"),
    [
        ("out.png", {}, "a video goes to a video"),
        ("out.avi", {}, "expected one of .mp4"),
        ("out.mp4", {"codec": "libx265x"}, "did you mean 'libx265'"),
        ("out.webm", {"codec": "libx264"}, ".webm cannot hold libx264"),
        ("out.mp4", {"crf": 99}, "--crf 99"),
        ("out.mp4", {"threads": 0}, "--threads 0"),
        ("out.mp4", {"runtime": "litter"}, "litert"),
        ("there.mp4", {}, "--force"),
        ("in.mp4", {"force": True}, "the input itself"),
    ],
)
def test_wrong_use_is_one_line(
    tmp_path: Path, net: Path, output: str, options: dict[str, Any], words: str
) -> None:
    """Outputs and options that do not fit are refused, and what is there stays."""
    clip = write_clip(tmp_path / "in.mp4")
    before = clip.read_bytes()
    (tmp_path / "there.mp4").write_bytes(b"keep me")
    with pytest.raises(EdgeVsrError, match=words) as caught:
        upscale(clip, output=tmp_path / output, net=net, **options)
    assert "\n" not in str(caught.value)
    assert clip.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "there.mp4"]


def test_nets_of_other_channels_are_refused(tmp_path: Path) -> None:
    """A net of two channels is neither Y nor RGB."""
    net = write_net(tmp_path / "two.onnx", nearest_graph(channels=2))
    clip = write_clip(tmp_path / "in.mp4")
    with pytest.raises(SpecError, match="2 channels"):
        upscale(clip, output=tmp_path / "out.mp4", net=net)


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, net: Path) -> None:
    """Stood in for by a limit on the size of files, which fails the same write."""
    clip = write_clip(tmp_path / "in.mkv", codec="ffv1", values=grain, pts=range(0, 4000, 40))
    done = run_cli(
        [str(clip), "-o", str(tmp_path / "out.mkv"), "--net", str(net), "--codec", "ffv1"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    assert done.returncode == 2
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_leaves_no_half_file(tmp_path: Path, number: signal.Signals) -> None:
    """Interrupted in the middle, the command ends soon and its temporary file is gone."""
    net = write_net(tmp_path / "net.onnx", sesr_graph(m=5, f=16))
    clip = write_clip(tmp_path / "in.mp4", size=(320, 240), pts=range(0, 20000, 40))
    process = subprocess.Popen(
        [*CLI, str(clip), "-o", str(tmp_path / "out.mp4"), "--net", str(net)],
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out-*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(0.3)
    assert process.poll() is None
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.mp4", "net.onnx"]


def test_the_command_prints_json_alone_on_stdout(tmp_path: Path, net: Path) -> None:
    """What scripts read: one object, with frames, seconds and fps."""
    import json

    clip = write_clip(tmp_path / "in.mp4")
    done = run_cli([str(clip), "-o", str(tmp_path / "out.mkv"), "--net", str(net), "--json"])
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values["frames"] == 10
    assert {"seconds", "fps", "output", "net_seconds"} <= set(values)


def test_a_peer_counts_the_same_frames(tmp_path: Path, net: Path) -> None:
    """ffprobe where there is one, else a decoder that saw nothing of the writing."""
    clip = write_clip(tmp_path / "in.mp4")
    upscale(clip, output=tmp_path / "out.mp4", net=net)
    if shutil.which("ffprobe"):
        command = [
            "ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0",
            "-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", tmp_path / "out.mp4",
        ]  # fmt: skip
    else:
        count = "import av, sys; print(sum(1 for _ in av.open(sys.argv[1]).decode(video=0)))"
        command = [sys.executable, "-c", count, tmp_path / "out.mp4"]
    counted = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert counted.strip().rstrip(",") == "10"


CLI = [sys.executable, "-m", "edgevsr", "upscale"]


def run_cli(arguments: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, *arguments], capture_output=True, text=True, timeout=120, env=os.environ, **options
    )


def assert_clean(folder: Path, error: BaseException) -> None:
    """One line, no output or temporary file, no thread."""
    assert "\n" not in str(error)
    assert not [path for path in folder.iterdir() if "out" in path.name]
    assert not [t for t in threading.enumerate() if t.name.startswith("edgevsr-")]
