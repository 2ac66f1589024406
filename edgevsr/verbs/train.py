"""`edgevsr train`: images and clips in, a wide network out, in a folder that can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgevsr.errors import SpecError, missing_extra
from edgevsr.nets.registry import net_spec
from edgevsr.spec import Activation, Colour, NetSpec
from edgevsr.zoo import zoo_names, zoo_path

_CLIP_FRAMES = 10


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
    lr: float = 5e-4,
    colour: Colour | None = None,
    degradation: str = "bi",
    activation: Activation | None = None,
    form: str = "collapsed",
    loss: str = "l1",
    init: str | Path | None = None,
    resume: bool = False,
    seed: int = 0,
    every: int = 1000,
    threads: int | None = None,
    cache: str | Path | None = None,
) -> TrainVerbResult:
    """Train `net` on HR images and videos, in the folder `out`; `resume` goes on where it stopped.

    Recurrent networks learn from clips of `frames` frames (10), through at most `window` of which
    gradients reach back (0: all); videos are clips, and a camera moves over the stills. Others
    take single pictures, or clips' frames where `frames` is given. `lr` is Adam's peak rate,
    `patch` the side of a patch in LR pixels, `every` the steps between
    checkpoints, `loss` "l1" or "l2" (the mean square that PSNR measures, for a last refinement),
    `init` a checkpoint or run whose fitting weights are the start. Without `val`, up to ten
    training files are held out for validation.

    Raises:
        SpecError: an unknown net or option, or `out` holds another run.
        DataError: no usable data.
        OutputError: the disk is full or not writable.
    """
    spec = _spec(net, scale, activation, colour)
    try:
        from edgevsr.training.config import TrainConfig
        from edgevsr.training.loop import train as run_training
    except ModuleNotFoundError as error:
        raise missing_extra(error.name or "torch", "train", "edgevsr train") from error
    folders = [data] if isinstance(data, str | Path) else list(data)
    config = TrainConfig.from_json(
        {
            "spec": vars(spec),
            "data": [str(path) for path in folders],
            "val": None if val is None else str(val),
            "steps": steps,
            "batch": batch,
            "patch": patch,
            "frames": frames or (_CLIP_FRAMES if "num_state" in spec.options else 1),
            "window": window,
            "lr": lr,
            "degradation": degradation,
            "form": form,
            "loss": loss,
            "init": None if init is None else _start(init),
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
    """Return the path of what to start from: a run, a checkpoint, or a shipped wide network."""
    if not Path(init).exists() and str(init) in zoo_names():
        return str(zoo_path(str(init)))
    return str(init)


def _spec(net: str, scale: int, activation: Activation | None, colour: Colour | None) -> NetSpec:
    """Return the spec; `--colour rgb` is the same as the name's -rgb."""
    spec = net_spec(net, scale, activation)
    if colour in (None, spec.colour):
        return spec
    other = f"{net}-rgb" if colour == "rgb" else net.removesuffix("-rgb")
    if colour not in ("y", "rgb"):
        raise SpecError(f"--colour {colour}: expected y or rgb")
    return replace(spec, name=other, colour=colour)
