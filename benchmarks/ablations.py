"""What a choice in training or structure brings SESR-M5 ×2: each alone, on one short budget.

    python -m benchmarks.ablations --data STILLS --sets SET… --runs FOLDER [--json FILE] [CHOICE…]

Without CHOICE all are run, each with every seed (--seeds 0 1); a run that is finished is scored
again, not trained again. Scores are PSNR-Y in dB of the collapsed network, fed unrounded luma, and
of the pictures held out of STILLS. The table has means over the seeds, and ± half of what lies
between the best and the worst of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from edgevsr.collapsing import collapse_checkpoint
from edgevsr.errors import EdgeVsrError
from edgevsr.evaluation import Picture, evaluate_model, read_pictures
from edgevsr.files import CHECKPOINT, write_json
from edgevsr.nets.registry import net_spec
from edgevsr.runtime.model import SrModel
from edgevsr.training.config import TrainConfig
from edgevsr.training.learner import Loss
from edgevsr.training.loop import Trainer
from edgevsr.training.resuming import CONFIG, check_same, last_row
from edgevsr.training.sampler import ClipSampler, PatchSampler

STEPS, SCALE = 4000, 2
HELD_OUT = "held out"

#: PSNR-Y in dB by set.
Scores = dict[str, float]


@dataclass(frozen=True)
class Choice:
    """What differs from the base: the net, fields of the config, or the trainer itself."""

    net: str = "sesr-m5"
    expansion: int = 256
    fields: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Trainer], None] | None = None


class _Richer(PatchSampler):
    """Draws two batches and keeps, place by place, the patch whose pixels differ more."""

    def __init__(self, drawn: PatchSampler | ClipSampler) -> None:
        self.drawn, self.pictures = drawn, drawn.pictures

    def batch(self, step: int, rank: int = 0) -> tuple[Tensor, ...]:
        """Return LR and HR, as the sampler that is drawn from."""
        one, two = self.drawn.batch(2 * step, rank), self.drawn.batch(2 * step + 1, rank)
        richer = (_detail(one[0]) > _detail(two[0])).view(-1, 1, 1, 1)
        return tuple(torch.where(richer, a, b) for a, b in zip(one, two, strict=True))


def _detail(lr: Tensor) -> Tensor:
    """Return how much neighbours differ in each patch, in the mean."""
    return lr.diff(dim=2).abs().mean((1, 2, 3)) + lr.diff(dim=3).abs().mean((1, 2, 3))


def _draw_richer(trainer: Trainer) -> None:
    trainer.sampler = _Richer(trainer.sampler)


class _SquaredAtLast(Loss):
    """L1, and L2 in the last fifth of the steps."""

    #: Makes errors of 8 in 255 count as much squared as they did absolute.
    _size = 32.0

    def __init__(self, steps: int) -> None:
        super().__init__("l1")
        self.left = steps - steps // 5

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        """Return the loss of a batch, a scalar."""
        self.left -= 1
        return super().forward(sr, hr) if self.left >= 0 else self._size * F.mse_loss(sr, hr)


def _square_at_last(trainer: Trainer) -> None:
    trainer.learner.loss = _SquaredAtLast(trainer.config.steps)


CHOICES = {
    "base": Choice(),
    "patch 64": Choice(fields={"patch": 64, "batch": 9}),
    "expansion 64": Choice(expansion=64),
    "expansion 512": Choice(expansion=512),
    "rate 2e-3": Choice(fields={"lr": 2e-3}),
    "no average": Choice(fields={"ema_decay": 0.0}),
    "richer of two patches": Choice(prepare=_draw_richer),
    "L2 in the last fifth": Choice(prepare=_square_at_last),
    "fixed filters": Choice("sesr-f16-m5-ecb"),
    "depthwise separable": Choice("sesr-f32-m7-dw"),
}


def train(choice: Choice, seed: int, data: Path, run: Path, cache: Path | None) -> float:
    """Train what is not trained yet, and return the PSNR-Y of the held-out pictures in dB."""
    spec = replace(net_spec(choice.net, SCALE), expansion=choice.expansion)
    config = TrainConfig(
        spec, (str(data),), steps=STEPS, every=STEPS, lr=1e-3, seed=seed, precision="bf16",
        compiled=True,
    )  # fmt: skip
    config = replace(config, **choice.fields)
    if (run / CHECKPOINT).is_file():
        check_same(config, run / CONFIG)
        if (done := last_row(config, run)) is not None:
            return done.val_psnr_y_db
    # The compiler remembers a few networks of one class, and runs further ones slowly.
    torch.compiler.reset()
    trainer = Trainer(config, run, False, cache)
    if choice.prepare:
        choice.prepare(trainer)
    write_json(run / CONFIG, config.to_json(), force=True)
    return trainer.fit().val_psnr_y_db


def score(run: Path, sets: Mapping[str, list[Picture]], threads: int) -> Scores:
    """Return the PSNR-Y of the collapsed network on every set."""
    model = SrModel.open(collapse_checkpoint(run / CHECKPOINT).graph, threads=threads)
    found = {name: evaluate_model(model, each, "float").psnr_y_db for name, each in sets.items()}
    return {name: value for name, value in found.items() if value is not None}


def row(label: str, scores: Iterable[Scores]) -> str:
    """Return a choice's line of the table."""
    seeds = list(scores)
    cells = []
    for name in seeds[0]:
        values = [each[name] for each in seeds]
        spread = f" ± {(max(values) - min(values)) / 2:.3f}" if len(values) > 1 else ""
        cells.append(f"{sum(values) / len(values):.3f}{spread}")
    return f"| {label} | " + " | ".join(cells) + " |"


def main() -> int:
    """Train, score and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("choices", nargs="*", metavar="CHOICE", help="; ".join(CHOICES))
    parser.add_argument("--data", type=Path, required=True, help="training stills")
    parser.add_argument("--sets", type=Path, nargs="+", required=True, metavar="SET")
    parser.add_argument("--runs", type=Path, required=True, help="where runs are kept")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.choices) - set(CHOICES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(CHOICES)}")
    torch.set_num_threads(options.threads)
    table: dict[str, dict[str, Scores]] = {}
    try:
        sets = {each.name: list(read_pictures(each, SCALE)) for each in options.sets}
        print("| choice | " + " | ".join([*sets, HELD_OUT]) + " |")
        print("|---|" + "--:|" * (len(sets) + 1))
        for name in options.choices or CHOICES:
            found = table[name] = {}
            for seed in options.seeds:
                run = options.runs / f"{name.replace(' ', '-')}-{seed}"
                held_out = train(CHOICES[name], seed, options.data, run, options.cache)
                scores = score(run, sets, options.threads)
                found[str(seed)] = {**scores, HELD_OUT: held_out}
            print(row(name, found.values()), flush=True)
    except EdgeVsrError as error:
        print(f"ablations: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        write_json(options.json, table, force=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
