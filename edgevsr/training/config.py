"""What fixes a training run; two runs of equal config are the same run."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from edgevsr.errors import SpecError
from edgevsr.nets.registry import REFERENCE
from edgevsr.spec import NetSpec
from edgevsr.training.plan import learning_rate

LOSSES = ("l1", "l2", "rms")
PRECISIONS = ("auto", "float32", "bf16")
_LONGEST = 100
_LEAST_SHRINK = 0.1
_LISTS = ("data", "shrink", "shrink_jpeg")


@dataclass(frozen=True)
class TrainConfig:
    """A run's settings. Patches are LR pixels; `every` is the steps between checkpoints.

    With `frames` above one, patches are clips of that many frames; gradients reach back through
    at most `window` of them (0: all). With one, a recurrent net learns all but its memory. Before
    each clip it is shown up to `burn_in` frames more, which it does not learn from.

    `teacher_weight` is the share of the loss that the output of `teacher` has, the rest is HR's;
    `feature_weight` that of its features, on top. Without a teacher both are zero.

    Stills are seen at the parts of their size in `shrink` too, JPEGs at those in `shrink_jpeg`
    instead, where there are any.

    `precision` "auto" is bf16 on a GPU, else float32; `compiled` makes kernels for the step first.

    With `qat` the forward is that of the int8 file, from the weights of `init` on. `lr` is Adam's
    peak rate over a cosine of `schedule` steps (0: `steps`), `clip` the largest gradient norm of a
    step.
    """

    spec: NetSpec
    data: tuple[str, ...]
    val: str | None = None
    steps: int = 60_000
    batch: int = 16
    patch: int = 48
    frames: int = 1
    window: int = 0
    burn_in: int = 0
    lr: float = 5e-4
    schedule: int = 0
    clip: float = 0.5
    ema_decay: float = 0.999
    degradation: Literal["bi", "bd"] = "bi"
    shrink: tuple[float, ...] = ()
    shrink_jpeg: tuple[float, ...] = ()
    form: Literal["collapsed", "expanded"] = "collapsed"
    loss: Literal["l1", "l2", "rms"] = "l1"
    init: str | None = None
    teacher: str | None = None
    teacher_sha256: str | None = None
    teacher_weight: float = 0.0
    feature_weight: float = 0.0
    qat: bool = False
    precision: Literal["auto", "float32", "bf16"] = "auto"
    compiled: bool = False
    seed: int = 0
    every: int = 1000

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise SpecError(f"--loss {self.loss}: expected one of {', '.join(LOSSES)}")
        if self.precision not in PRECISIONS:
            raise SpecError(
                f"--precision {self.precision}: expected one of {', '.join(PRECISIONS)}"
            )
        if self.qat and self.precision == "bf16":
            raise SpecError("--qat computes whole numbers that bf16 cannot hold; leave it out")
        if self.compiled and (self.qat or self.form != "collapsed"):
            raise SpecError("--compiled is for the collapsed float forward; leave it out")
        for name in ("steps", "batch", "patch", "every", "frames"):
            if getattr(self, name) < 1:
                raise SpecError(f"--{name} {getattr(self, name)}: expected at least 1")
        if self.schedule and self.schedule < self.steps:
            raise SpecError(
                f"--schedule {self.schedule}: ends before --steps {self.steps}; give more"
            )
        for part in (*self.shrink, *self.shrink_jpeg):
            if not _LEAST_SHRINK <= part < 1:
                raise SpecError(
                    f"--shrink and --shrink-jpeg {part:g}: expected parts of a still's size, "
                    f"{_LEAST_SHRINK:g} to 1"
                )
        if self.patch < 8:
            raise SpecError(f"--patch {self.patch}: expected at least 8 LR pixels")
        if self.frames > _LONGEST:
            raise SpecError(f"--frames {self.frames}: expected at most {_LONGEST}")
        if not 0 <= self.window <= self.frames:
            raise SpecError(f"--window {self.window}: expected 0 (all) to --frames {self.frames}")
        if self.burn_in < 0 or self.frames + self.burn_in > _LONGEST:
            raise SpecError(
                f"--burn-in {self.burn_in}: expected 0 to {_LONGEST - self.frames} frames more"
            )
        if self.burn_in and (self.frames == 1 or "num_state" not in self.spec.options):
            raise SpecError("--burn-in is for recurrent networks that see clips; leave it out")
        if self.spec.family == REFERENCE and (
            self.window or self.qat or self.feature_weight or self.compiled
        ):
            raise SpecError(
                f"{self.spec.name}: a reference trains without --window, --qat, --compiled and "
                "--feature-weight"
            )
        if self.qat and self.init is None:
            raise SpecError("--qat goes on from a trained network; add --init RUN")
        if self.qat and self.form != "collapsed":
            raise SpecError("--qat rounds the collapsed weights; leave --form out")
        if self.qat and self.frames == 1 and "num_state" in self.spec.options:
            raise SpecError("--qat of a recurrent network sets its state's range; add --frames 10")
        self._check_teacher()
        if not 0 < self.lr < 1:
            raise SpecError(f"--lr {self.lr}: expected a learning rate between 0 and 1")

    def _check_teacher(self) -> None:
        output, features = self.teacher_weight, self.feature_weight
        if self.teacher is None and (output or features):
            raise SpecError("--teacher-weight and --feature-weight need a --teacher")
        if not 0 <= output <= 1:
            raise SpecError(f"--teacher-weight {output}: expected the output's share, 0 to 1")
        if not 0 <= features < 1000:
            raise SpecError(f"--feature-weight {features}: expected 0 (off) or more")
        if self.teacher is not None and not output and not features:
            raise SpecError("--teacher-weight 0 without a --feature-weight: nothing is taught")
        if self.burn_in and features:
            raise SpecError(
                "--feature-weight: --burn-in shows frames without features; leave it out"
            )
        if self.qat and features:
            raise SpecError("--feature-weight: integer layers have no such features; leave it out")

    def rate(self, step: int) -> float:
        """Return Adam's rate at a step."""
        return learning_rate(step, self.schedule or self.steps, self.lr)

    def to_json(self) -> dict[str, Any]:
        """Return the config as plain JSON values."""
        return {**asdict(self), **{key: list(getattr(self, key)) for key in _LISTS}}

    def taught_by(self) -> dict[str, Any] | None:
        """Return what a card says of the teacher, or None where there is none."""
        if self.teacher is None:
            return None
        return {
            "teacher": {
                "name": self.teacher,
                "sha256": self.teacher_sha256,
                "weight": self.teacher_weight,
                "feature_weight": self.feature_weight,
            }
        }

    @staticmethod
    def from_json(value: dict[str, Any]) -> TrainConfig:
        """Return the config that `to_json` described.

        Raises:
            SpecError: keys are missing or unknown.
        """
        try:
            fields = dict(value)
            spec = NetSpec(**fields.pop("spec"))
            fields |= {key: tuple(fields[key]) for key in _LISTS if key in fields}
            return TrainConfig(spec=spec, **fields)
        except (KeyError, TypeError, AttributeError) as error:
            raise SpecError(f"run.json does not describe a training run ({error})") from error
