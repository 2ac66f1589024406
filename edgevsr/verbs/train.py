"""`edgevsr train`: images and clips in, a wide network out, in a folder that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgevsr.errors import SpecError, missing_extra
from edgevsr.nets.references.catalogue import find_system
from edgevsr.nets.registry import REFERENCE, net_spec
from edgevsr.spec import Activation, Colour, NetSpec
from edgevsr.zoo import zoo_names, zoo_path

_CLIP_FRAMES = 10
_BURN_IN = 20
_TEACHER_WEIGHT = 0.5
_WIDEST = 4096


@dataclass(frozen=True)
class TrainVerbResult:
    """A run that has reached its last step."""

    run: Path
    net: str
    scale: int
    step: int
    val_psnr_y_db: float | None
    steps_per_second: float
    seconds: float

    def to_json(self) -> dict[str, Any]:
        """Return the contract's keys."""
        return {
            "output": str(self.run),
            "net": self.net,
            "scale": self.scale,
            "step": self.step,
            "val_psnr_y_db": self.val_psnr_y_db,
            "steps_per_second": self.steps_per_second,
            "seconds": self.seconds,
        }


def train(
    net: str,
    *,
    scale: int,
    data: Sequence[str | Path] | str | Path,
    out: str | Path,
    val: str | Path | None = None,
    steps: int = 60_000,
    batch: int = 16,
    patch: int = 48,
    frames: int | None = None,
    window: int = 0,
    burn_in: int | None = None,
    lr: float = 5e-4,
    schedule: int = 0,
    colour: Colour | None = None,
    degradation: str = "bi",
    shrink: Sequence[float] = (),
    shrink_jpeg: Sequence[float] = (),
    activation: Activation | None = None,
    expansion: int | None = None,
    form: str = "collapsed",
    loss: str = "l1",
    init: str | Path | None = None,
    teacher: str | Path | None = None,
    weights: str | Path | None = None,
    teacher_weight: float | None = None,
    feature_weight: float = 0.0,
    qat: bool = False,
    precision: str = "auto",
    compiled: bool = False,
    resume: bool = False,
    seed: int = 0,
    every: int = 1000,
    threads: int | None = None,
    cache: str | Path | None = None,
) -> TrainVerbResult:
    """Train `net` on HR images and videos, in the folder `out`; `resume` goes on where it stopped.

    Recurrent networks learn from clips of `frames` frames (10), through at most `window` of which
    gradients reach back (0: all), after up to `burn_in` more that are only shown (20 for aligned
    ones, else none), so that they stay steady for long; videos are clips, and a camera moves over
    the stills. Others take single pictures, or clips' frames where `frames` is given. `lr` is
    Adam's peak rate, which falls over `schedule` steps (0: all), `patch` the side of a patch in LR
    pixels, `expansion` the channels inside a block (256), `shrink` the parts of their size at which
    stills are seen beside their own, `shrink_jpeg` those for JPEGs instead of theirs, `every` the
    steps between checkpoints, `loss` "l1", "rms" (the root of each patch's mean square, averaged,
    as PSNR is over pictures) or "l2" (the mean square, for a last refinement), `init` a run, a
    checkpoint, a collapsed .onnx or a shipped name whose fitting weights are the start: of a SESR
    of fewer blocks or features of the same scale, all of them, as the function it is. `qat` goes on
    from there with the int8 file's own arithmetic as the forward; ranges are chosen on the training
    data first and travel on to `quantize`, which then takes no frames. Without `val`, up to ten
    training files are held out for validation. `precision` "auto" is bf16 on a GPU, else float32;
    on CPUs with bf16 instructions, "bf16" with `compiled` (kernels made for the step, by a C++
    compiler) is about three times as fast.

    `teacher` is a network to learn from beside HR: a run, a checkpoint, a shipped network, a
    reference's name with its published `weights`, or a single-image checkpoint of another project
    (with spandrel). What it makes of the data is computed once and kept in `cache`. Its output has
    `teacher_weight` (0.5) of the loss; its features come on top with `feature_weight`.

    Raises:
        SpecError: an unknown net or option, or `out` holds another run.
        SourceError: the teacher cannot be opened.
        DataError: no usable data.
        OutputError: the disk is full or not writable.
    """
    spec = _spec(net, scale, activation, colour, expansion)
    try:
        from edgevsr.nets.teachers import open_teacher
        from edgevsr.training.config import TrainConfig
        from edgevsr.training.loop import train as run_training
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train", "edgevsr train") from error
    if weights is not None and teacher is None:
        raise SpecError(f"--weights {weights}: are those of a reference; add --teacher NAME")
    who = None
    if teacher is not None:
        who = open_teacher(_start(teacher), None if weights is None else Path(weights))
    folders = [data] if isinstance(data, str | Path) else list(data)
    config = TrainConfig.from_json(
        {
            "spec": vars(spec),
            "data": [str(path) for path in folders],
            "val": None if val is None else str(val),
            "steps": steps,
            "batch": batch,
            "patch": patch,
            "frames": frames or (_CLIP_FRAMES if _sees_clips(spec) else 1),
            "window": window,
            "burn_in": _burn_in(spec, frames) if burn_in is None else burn_in,
            "lr": lr,
            "schedule": schedule,
            "degradation": degradation,
            "shrink": list(shrink),
            "shrink_jpeg": list(shrink_jpeg),
            "form": form,
            "loss": loss,
            "init": None if init is None else _start(init),
            "qat": qat,
            "precision": precision,
            "compiled": compiled,
            "teacher": who and who.identity.name,
            "teacher_sha256": who and who.identity.sha256,
            "teacher_weight": (_TEACHER_WEIGHT if who else 0.0)
            if teacher_weight is None
            else teacher_weight,
            "feature_weight": feature_weight,
            "seed": seed,
            "every": every,
        }
    )
    result = run_training(
        config,
        Path(out),
        resume=resume,
        cache=None if cache is None else Path(cache),
        threads=threads,
        teacher=who,
    )
    value = result.val_psnr_y_db
    return TrainVerbResult(
        run=result.run,
        net=result.net,
        scale=result.scale,
        step=result.step,
        val_psnr_y_db=value if value == value else None,
        steps_per_second=result.steps_per_second,
        seconds=result.seconds,
    )


def _start(init: str | Path) -> str:
    """Return the path of what to start from or learn from, which may be a shipped network."""
    if not Path(init).exists() and str(init) in zoo_names():
        return str(zoo_path(str(init)))
    return str(init)


def _burn_in(spec: NetSpec, frames: int | None) -> int:
    """Return how many frames more a network is shown: what feeds on its own SR needs them."""
    return _BURN_IN if "aligned" in spec.options and frames != 1 else 0


def _sees_clips(spec: NetSpec) -> bool:
    """Whether the network sees more than one frame."""
    if spec.family == REFERENCE:
        return find_system(spec.name).sees != "frame"
    return "num_state" in spec.options


def _spec(
    net: str,
    scale: int,
    activation: Activation | None,
    colour: Colour | None,
    expansion: int | None,
) -> NetSpec:
    """Return the spec; `--colour rgb` is the same as the name's -rgb."""
    spec = net_spec(net, scale, activation)
    if expansion is not None:
        if not 1 <= expansion <= _WIDEST:
            raise SpecError(f"--expansion {expansion}: expected 1 to {_WIDEST} channels")
        if spec.family == REFERENCE:
            raise SpecError(f"--expansion {expansion}: {net} has no blocks to widen; leave it out")
        spec = replace(spec, expansion=expansion)
    if colour in (None, spec.colour):
        return spec
    if spec.family == REFERENCE:
        raise SpecError(f"--colour {colour}: {net} works on RGB; leave it out")
    other = f"{net}-rgb" if colour == "rgb" else net.removesuffix("-rgb")
    if colour not in ("y", "rgb"):
        raise SpecError(f"--colour {colour}: expected y or rgb")
    return replace(spec, name=other, colour=colour)
