"""What fixes a training run; two runs of equal config are the same run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgevsr.errors import SpecError
from edgevsr.spec import NetSpec

LOSSES = ("l1", "l2")


@dataclass(frozen=True)
class TrainConfig:
    """A run's settings. Patches are LR pixels; `every` is the steps between checkpoints.

    With `frames` above one, patches are clips of that many frames; gradients reach back through
    at most `window` of them (0: all).

    `lr` is Adam's peak rate, `clip` the largest gradient norm of a step.
    """

    spec: NetSpec
    data: tuple[str, ...]
    val: str | None = None
    steps: int = 60_000
    batch: int = 16
    patch: int = 48
    frames: int = 1
    window: int = 0
    lr: float = 5e-4
    clip: float = 0.5
    ema_decay: float = 0.999
    degradation: Literal["bi", "bd"] = "bi"
    form: Literal["collapsed", "expanded"] = "collapsed"
    loss: Literal["l1", "l2"] = "l1"
    init: str | None = None
    seed: int = 0
    every: int = 1000

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise SpecError(f"--loss {self.loss}: expected one of {', '.join(LOSSES)}")
        for name in ("steps", "batch", "patch", "every", "frames"):
            if getattr(self, name) < 1:
                raise SpecError(f"--{name} {getattr(self, name)}: expected at least 1")
        if self.patch < 8:
            raise SpecError(f"--patch {self.patch}: expected at least 8 LR pixels")
        if self.frames > 100:
            raise SpecError(f"--frames {self.frames}: expected at most 100")
        if not 0 <= self.window <= self.frames:
            raise SpecError(f"--window {self.window}: expected 0 (all) to --frames {self.frames}")
        if "num_state" in self.spec.options and self.frames == 1:
            raise SpecError(
                f"{self.spec.name} is recurrent, which single frames cannot train; add --frames 10"
            )
        if not 0 < self.lr < 1:
            raise SpecError(f"--lr {self.lr}: expected a learning rate between 0 and 1")

    def to_json(self) -> dict[str, Any]:
        """Return the config as plain JSON values."""
        return {**asdict(self), "data": list(self.data)}

    @staticmethod
    def from_json(value: dict[str, Any]) -> TrainConfig:
        """Return the config that `to_json` described.

        Raises:
            SpecError: keys are missing or unknown.
        """
        try:
            fields = dict(value)
            spec = NetSpec(**fields.pop("spec"))
            return TrainConfig(spec=spec, data=tuple(fields.pop("data")), **fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"run.json does not describe a training run ({error})") from error
