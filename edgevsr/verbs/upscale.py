"""`edgevsr upscale`: an image or a video super-resolved, everything else about it kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from edgevsr.data.cuts import CutDetector
from edgevsr.data.images import is_image as is_other_image
from edgevsr.errors import DataError, SpecError
from edgevsr.files import check_output
from edgevsr.nets.references import open_clip_model, refuse_for_references
from edgevsr.nets.references.catalogue import is_reference
from edgevsr.video.images import (
    IMAGE_SUFFIXES,
    check_can_hold,
    is_image,
    read_picture,
    upscale_picture,
    write_picture,
)

if TYPE_CHECKING:
    from edgevsr.runtime.model import SrModel

DEFAULT_NET = "sesr-m5-x2-w8a8"


@dataclass(frozen=True)
class UpscaleResult:
    """What was written, and how fast.

    `seconds` is wall time from the first frame decoded to the file closed, `fps` is frames over
    it; the seconds of decode, net and encode are those each worked, and overlap. `how` tells the
    way that pixels took, and `dropped` names what the output's container could not hold. `cuts` is
    how many scene cuts a recurrent net was reset at, None where they were not looked for.
    """

    output: str
    frames: int
    seconds: float
    fps: float
    decode_seconds: float
    net_seconds: float
    encode_seconds: float
    net: str
    runtime: str
    how: str
    dropped: tuple[str, ...]
    cuts: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**asdict(self), "dropped": list(self.dropped)}


def upscale(
    input: str | Path,  # noqa: A002 - the public name of the command line
    *,
    output: str | Path,
    net: str | Path = DEFAULT_NET,
    runtime: str | None = None,
    threads: int | None = None,
    codec: str | None = None,
    crf: int | None = None,
    tile: int | None = None,
    reset_on_cut: bool = False,
    weights: str | Path | None = None,
    force: bool = False,
) -> UpscaleResult:
    """Super-resolve an image or a video into `output`.

    A video streams: decode, net and encode overlap, and memory does not grow with its length.
    `tile` is the side in LR pixels of the pieces that the net is run on; without it the whole
    frame is taken, or tiles where memory is short. A recurrent net carries its state from frame to
    frame; with `reset_on_cut` it starts anew where a scene does. `net` may be a reference of the
    literature, run with its published `weights` over pieces of the clip that overlap.

    Raises:
        DataError: the input is missing, damaged, cut short or of a kind not known.
        SpecError: an option or the output's suffix does not fit.
        SourceError: the net cannot be opened.
        DeviceError: the runtime is missing or failed.
        OutputError: the output exists or cannot be written.
    """
    source, target = Path(input), Path(output)
    _check_options(source, target, threads, tile, codec, crf, reset_on_cut)
    check_output(target, force)
    if source.exists() and target.exists() and source.samefile(target):
        raise SpecError(f"{target}: is the input itself; write to another file")
    if is_reference(str(net)):
        flags = {"--runtime": runtime, "--tile": tile, "--reset-on-cut": reset_on_cut}
        refuse_for_references(net, flags)
    chosen = _Chosen(net, weights, runtime, threads, tile)
    if is_image(source):
        return _upscale_image(source, target, chosen, force)
    return _upscale_video(source, target, chosen, codec, crf, reset_on_cut, force)


def _check_options(
    source: Path,
    target: Path,
    threads: int | None,
    tile: int | None,
    codec: str | None,
    crf: int | None,
    reset_on_cut: bool,
) -> None:
    for name, value in (("--threads", threads), ("--tile", tile)):
        if value is not None and value < 1:
            raise SpecError(f"{name} {value}: expected 1 or more")
    if not source.is_file():
        what = "is no regular file" if source.exists() else "no such file"
        raise DataError(f"{source}: {what}; give an image or a video")
    if not is_image(source) and is_other_image(source):
        raise DataError(
            f"{source}: is an image of a kind not read here; convert it to one of "
            f"{', '.join(IMAGE_SUFFIXES)}"
        )
    if is_image(source):
        if not is_image(target):
            raise SpecError(
                f"{target}: an image goes to an image; expected {', '.join(IMAGE_SUFFIXES)}"
            )
        if codec is not None or crf is not None:
            raise SpecError("--codec and --crf are for videos; leave them out for an image")
        if reset_on_cut:
            raise SpecError("--reset-on-cut is for videos; leave it out for an image")
    elif is_image(target):
        raise SpecError(f"{target}: a video goes to a video; name it .mp4 or .mkv")


@dataclass(frozen=True)
class _Chosen:
    """The net to run, and how."""

    net: str | Path
    weights: str | Path | None
    runtime: str | None
    threads: int | None
    tile: int | None

    def open(self, size: tuple[int, int] | None = None) -> tuple[str, SrModel]:
        """Return the net's name and the model that runs it, for frames of `size` if it is known."""
        from edgevsr.runtime.model import SrModel
        from edgevsr.sources import open_source

        reference = open_clip_model(self.net, self.weights, self.threads)
        if reference is not None:
            return reference.system.name, cast("SrModel", reference)
        stage = open_source(self.net)
        model = SrModel.open(stage.runnable, runtime=self.runtime, threads=self.threads, size=size)
        if model.channels not in (1, 3):
            raise SpecError(f"{stage.name}: takes {model.channels} channels; expected Y or RGB")
        model.reset()
        return stage.name, model


def _upscale_image(source: Path, target: Path, chosen: _Chosen, force: bool) -> UpscaleResult:
    start = time.perf_counter()
    picture = read_picture(source)
    check_can_hold(target, picture)
    decode_seconds = time.perf_counter() - start
    name, model = chosen.open()
    start = time.perf_counter()
    result = upscale_picture(picture, _float_net(model, chosen.tile), model.channels, model.scale)
    net_seconds = time.perf_counter() - start
    start = time.perf_counter()
    write_picture(result, target, force)
    encode_seconds = time.perf_counter() - start
    seconds = decode_seconds + net_seconds + encode_seconds
    way = "Y through the net, chroma bicubic" if model.channels == 1 else "RGB through the net"
    return UpscaleResult(
        output=str(target),
        frames=1,
        seconds=seconds,
        fps=1.0 / seconds,
        decode_seconds=decode_seconds,
        net_seconds=net_seconds,
        encode_seconds=encode_seconds,
        net=name,
        runtime=model.runtime,
        how=_joined(way, model.how_resized),
        dropped=(),
    )


def _upscale_video(
    source: Path,
    target: Path,
    chosen: _Chosen,
    codec: str | None,
    crf: int | None,
    reset_on_cut: bool,
    force: bool,
) -> UpscaleResult:
    from edgevsr.video.source import VideoSource
    from edgevsr.video.videos import upscale_video

    with VideoSource.open(source) as video:
        name, model = chosen.open(video.size)
        net = _u8_net(model, chosen.tile)
        scenes = _Scenes(model, net) if reset_on_cut else None
        start = time.perf_counter()
        report = upscale_video(
            video,
            target,
            scenes or net,
            channels=model.channels,
            scale=model.scale,
            codec=codec,
            crf=crf,
            force=force,
            ahead=getattr(model, "ahead", None),
        )
        seconds = time.perf_counter() - start
    for lost in report.dropped:
        print(f"edgevsr: note: {target.name} cannot hold: {lost}", file=sys.stderr)
    return UpscaleResult(
        output=str(target),
        frames=report.frames,
        seconds=seconds,
        fps=report.frames / seconds,
        decode_seconds=report.seconds.decode,
        net_seconds=report.seconds.net,
        encode_seconds=report.seconds.encode,
        net=name,
        runtime=model.runtime,
        how=_joined(report.how, model.how_resized),
        dropped=report.dropped,
        cuts=None if scenes is None else scenes.cuts,
    )


class _Scenes:
    """Runs a net on a stream's frames and lets it forget the past where a new scene starts."""

    def __init__(
        self, model: SrModel, net: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
    ) -> None:
        self._model, self._net = model, net
        self._detector = CutDetector()
        self.cuts = 0

    def __call__(self, lr: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if self._detector.is_cut(lr):
            self._model.reset()
            self.cuts += 1
        return self._net(lr)


def _u8_net(model: SrModel, tile: int | None) -> Callable[[NDArray[np.uint8]], NDArray[np.uint8]]:
    return model.upscale_u8 if tile is None else _tiled(model, tile)


def _float_net(
    model: SrModel, tile: int | None
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    return model.upscale if tile is None else _tiled(model, tile)


def _tiled(model: SrModel, tile: int) -> Callable[[NDArray[Any]], NDArray[Any]]:
    from edgevsr.runtime.tiling import alignment, upscale_tiled

    align = alignment(model.graph)

    def run(lr: NDArray[Any]) -> NDArray[Any]:
        height, width = lr.shape[:2]
        padded = np.pad(lr, ((0, -height % align), (0, -width % align), (0, 0)), "edge")
        sr = upscale_tiled(model, padded, tile)
        return sr[: height * model.scale, : width * model.scale]

    return run


def _joined(how: str, how_resized: str | None) -> str:
    return f"{how}; {how_resized}" if how_resized else how
