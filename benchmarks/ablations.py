"""What a choice in training or structure brings SESR-M5 ×2: each alone, on one short budget.

    python -m benchmarks.ablations --data STILLS --sets SET… --runs FOLDER
        [--net NET] [--json FILE] [CHOICE…]

Without CHOICE all are run, the taught ones where a --teacher is given, each with every seed
(--seeds 0 1); a run that is finished is scored again, not trained again. Scores are PSNR-Y in dB of
the collapsed network, fed unrounded luma, and of the pictures held out of STILLS; one that is gated
or linear first has no narrow graph and is scored as trained. The table has means over the seeds,
and ± half of what lies between the best and the worst of them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.changed_nets import (
    TorchModel,
    add_gate,
    drop_first_activation,
    pixel_gate,
    squeeze_excite,
)
from edgevsr.collapsing import collapse_checkpoint
from edgevsr.data.pairs import find_media, load_pairs
from edgevsr.errors import EdgeVsrError, SpecError
from edgevsr.evaluation import Model, Picture, evaluate_model, read_pictures
from edgevsr.files import CHECKPOINT, write_json
from edgevsr.nets.checkpoint import load_checkpoint, load_weights
from edgevsr.nets.registry import build, net_spec
from edgevsr.nets.teachers import Teacher, open_teacher
from edgevsr.runtime.model import SrModel
from edgevsr.spec import Activation, NetSpec
from edgevsr.training.config import TrainConfig
from edgevsr.training.learner import Loss
from edgevsr.training.loop import Trainer
from edgevsr.training.plan import held_out
from edgevsr.training.resuming import CONFIG, check_same, last_row
from edgevsr.training.sampler import ClipSampler, PatchSampler

NET, STEPS, SCALE = "sesr-m5", 4000, 2
HELD_OUT = "held out"

#: PSNR-Y in dB by set.
Scores = dict[str, float]


@dataclass(frozen=True)
class Choice:
    """What differs from the base: another net, fields of the config, or the trainer itself.

    `linear_first`, the first layer has no activation behind it. `gate` makes, for so many channels,
    what `add_gate` adds; it learns at `gate_rate` times the others' rate. Of the training pictures
    one in `every` is used. `taught` is what of the loss the teacher has, as the config names it.
    """

    net: str | None = None
    expansion: int = 256
    activation: Activation | None = None
    linear_first: bool = False
    fields: Mapping[str, Any] = field(default_factory=dict)
    prepare: Callable[[Trainer], None] | None = None
    gate: Callable[[int], nn.Module] | None = None
    gate_rate: float = 1.0
    every: int = 1
    taught: Mapping[str, Any] = field(default_factory=dict)


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


def _train_gate(trainer: Trainer, gate: nn.Module, rate: float) -> None:
    net = trainer.learner.net
    add_gate(net, gate.to(trainer.accelerator.device))
    trainer.optimizer.add_param_group({"params": list(gate.parameters()), "rate_scale": rate})
    trainer.average = {name: value.detach().clone() for name, value in net.named_parameters()}


def one_in(every: int, seed: int, data: Path) -> list[Path]:
    """Return one in `every` of the training pictures, in the order of their paths.

    Those held out of all pictures stay held out, and other seeds take other pictures.
    """
    media = find_media([data])
    kept = held_out(media)
    return [path for path in media if path not in kept][seed % every :: every]


CHOICES = {
    "base": Choice(),
    "patch 64": Choice(fields={"patch": 64, "batch": 9}),
    "expansion 64": Choice(expansion=64),
    "expansion 512": Choice(expansion=512),
    "expansion 1024": Choice(expansion=1024),
    "rate 2e-3": Choice(fields={"lr": 2e-3}),
    "no average": Choice(fields={"ema_decay": 0.0}),
    "richer of two patches": Choice(prepare=_draw_richer),
    "L2 in the last fifth": Choice(prepare=_square_at_last),
    "rms of each patch": Choice(fields={"loss": "rms"}),
    "rms, ReLU": Choice(activation="relu", fields={"loss": "rms"}),
    "rms, ReLU, first layer linear": Choice(
        activation="relu", linear_first=True, fields={"loss": "rms"}
    ),
    "fixed filters": Choice("sesr-f16-m5-ecb"),
    "depthwise separable": Choice("sesr-f32-m7-dw"),
    "gate": Choice("sesr-f16-m5-gate"),
    "gate, plain": Choice(gate=pixel_gate),
    "gate, ten times the rate": Choice(gate=pixel_gate, gate_rate=10.0),
    "squeeze and excite": Choice(gate=squeeze_excite),
    "half of the pictures": Choice(every=2),
    "a quarter of the pictures": Choice(every=4),
    "a sixteenth of the pictures": Choice(every=16),
    "taught": Choice(taught={"teacher_weight": 0.5}),
    "taught, its output alone": Choice(taught={"teacher_weight": 1.0}),
    "taught, features too": Choice(taught={"teacher_weight": 0.5, "feature_weight": 0.01}),
}


def train(
    choice: Choice,
    seed: int,
    data: Path,
    run: Path,
    cache: Path | None,
    steps: int = STEPS,
    teacher: Teacher | None = None,
    net: str = NET,
) -> float:
    """Train what is not trained yet, and return the PSNR-Y of the held-out pictures in dB."""
    spec = replace(
        net_spec(choice.net or net, SCALE, choice.activation), expansion=choice.expansion
    )
    config = TrainConfig(
        spec, (str(data),), steps=steps, every=steps, lr=1e-3, seed=seed, precision="bf16",
        compiled=True,
    )  # fmt: skip
    config = replace(config, **choice.fields)
    if choice.taught:
        if teacher is None:
            raise SpecError("a taught network needs a --teacher")
        who = teacher.identity
        config = replace(config, teacher=who.name, teacher_sha256=who.sha256, **choice.taught)
    if (run / CHECKPOINT).is_file():
        check_same(config, run / CONFIG)
        if (done := last_row(config, run)) is not None:
            return done.val_psnr_y_db
    # The compiler remembers a few networks of one class, and runs further ones slowly.
    torch.compiler.reset()
    trainer = Trainer(config, run, False, cache, teacher if choice.taught else None)
    if choice.prepare:
        choice.prepare(trainer)
    if choice.linear_first:
        drop_first_activation(trainer.learner.net)
    if choice.gate:
        _train_gate(trainer, choice.gate(spec.options["num_feat"]), choice.gate_rate)
    if choice.every > 1:
        pictures = one_in(choice.every, seed, data)
        pairs = load_pairs(pictures, SCALE, spec.colour, config.degradation, cache)
        trainer.sampler = PatchSampler(pairs, config.patch, config.batch, seed)
    write_json(run / CONFIG, config.to_json(), force=True)
    return trainer.fit().val_psnr_y_db


def open_run(choice: Choice, run: Path, threads: int) -> Model:
    """Return what a run has trained: the collapsed network, or as it is what cannot collapse."""
    path = run / CHECKPOINT
    if choice.gate is None and not choice.linear_first:
        return SrModel.open(collapse_checkpoint(path).graph, threads=threads)
    tensors, info = load_checkpoint(path)
    net = build(NetSpec(**info["spec"]))
    if choice.linear_first:
        drop_first_activation(net)
    if choice.gate:
        add_gate(net, choice.gate(net.spec.options["num_feat"]))
    average = {name[4:]: value for name, value in tensors.items() if name.startswith("ema.")}
    load_weights(net, average, path)
    return TorchModel(net)


def score(model: Model, sets: Mapping[str, list[Picture]]) -> Scores:
    """Return the PSNR-Y of a network on every set."""
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
    parser.add_argument("--teacher", metavar="SOURCE", help="who teaches the taught networks")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--net", default=NET, help="whose choices they are, where none names one")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    if unknown := set(options.choices) - set(CHOICES):
        parser.error(f"{', '.join(sorted(unknown))}: expected some of {', '.join(CHOICES)}")
    torch.set_num_threads(options.threads)
    table: dict[str, dict[str, Scores]] = {}
    try:
        sets = {each.name: list(read_pictures(each, SCALE)) for each in options.sets}
        teacher = open_teacher(options.teacher) if options.teacher else None
        print("| choice | " + " | ".join([*sets, HELD_OUT]) + " |")
        print("|---|" + "--:|" * (len(sets) + 1))
        all_choices = [name for name in CHOICES if teacher or not CHOICES[name].taught]
        for name in options.choices or all_choices:
            found = table[name] = {}
            for seed in options.seeds:
                run = options.runs / f"{name.replace(' ', '-')}-{seed}"
                choice = CHOICES[name]
                given = (options.data, run, options.cache, options.steps, teacher, options.net)
                value = train(choice, seed, *given)
                scores = score(open_run(choice, run, options.threads), sets)
                found[str(seed)] = {**scores, HELD_OUT: value}
            print(row(name, found.values()), flush=True)
    except EdgeVsrError as error:
        print(f"ablations: {error}", file=sys.stderr)
        return error.exit_code
    if options.json:
        write_json(options.json, table, force=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
