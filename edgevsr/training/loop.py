"""The training loop: Adam under a cosine, averaged weights, resumable to the bit."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from edgevsr.data.pairs import Pairs, find_media, load_pairs
from edgevsr.errors import DataError, SpecError
from edgevsr.files import CHECKPOINT, write_json
from edgevsr.graph.quantize_int import RANGES_KEY
from edgevsr.motion import limit_threads
from edgevsr.nets.checkpoint import load_checkpoint, load_weights, save_checkpoint
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build
from edgevsr.nets.teachers import Teacher
from edgevsr.progress import progress
from edgevsr.quantization.learned import ranges_to_json
from edgevsr.training.config import TrainConfig
from edgevsr.training.distillation import TaughtLoss
from edgevsr.training.growing import warm_start
from edgevsr.training.learner import Learner, Loss
from edgevsr.training.lessons import Lessons, load_lessons
from edgevsr.training.log import Row, TrainLog
from edgevsr.training.plan import held_out, parameter_groups
from edgevsr.training.proportions import Proportions, checked, in_proportion
from edgevsr.training.qat import Int8Net, calibration_frames, prepare
from edgevsr.training.resuming import CONFIG, check_same, last_row
from edgevsr.training.sampler import ClipSampler, PatchSampler
from edgevsr.training.validation import assigned, validate


@dataclass(frozen=True)
class TrainResult:
    """A finished run: its folder, the last validation and the speed of this process."""

    run: Path
    net: str
    scale: int
    step: int
    val_psnr_y_db: float
    steps_per_second: float
    seconds: float


class Trainer:
    """A run in its folder: starts or resumes, steps, validates, saves."""

    def __init__(
        self,
        config: TrainConfig,
        run: Path,
        resume: bool,
        cache: Path | None,
        teacher: Teacher | None = None,
    ) -> None:
        from accelerate import Accelerator

        cuda = torch.cuda.is_available()
        self.accelerator = Accelerator(cpu=not cuda)
        self.half = config.precision == "bf16" or (cuda and config.precision == "auto")
        self.config, self.run = config, run
        self.main = self.accelerator.is_main_process
        self.seconds, self.step = 0.0, 0
        torch.manual_seed(config.seed)
        net = build(config.spec)
        net.set_form(config.form)
        if config.init and not resume:
            warm_start(net, Path(config.init))
        pairs, lessons = self._load_data(cache, teacher)
        self.proportions: Proportions = {}
        self.int8 = self._int8(net, pairs, resume) if config.qat else None
        self.average = {name: value.detach().clone() for name, value in net.named_parameters()}
        loss = Loss(config.loss) if lessons is None else TaughtLoss(config, net, lessons)
        if config.compiled:
            net.compile_training()
        learner = Learner(net, loss, self.int8, config.window, config.burn_in and config.frames)
        optimizer = torch.optim.Adam(parameter_groups(learner), lr=config.lr, fused=True)
        if resume:
            self._restore(learner, optimizer)
        self.learner, self.optimizer = self.accelerator.prepare(learner, optimizer)
        device = self.accelerator.device
        self.average = {name: value.to(device) for name, value in self.average.items()}
        self.proportions = {name: value.to(device) for name, value in self.proportions.items()}
        self.log: TrainLog | None = None

    def fit(self) -> TrainResult:
        """Run the remaining steps; the folder then holds the last checkpoint, log and plot."""
        config = self.config
        if self.main:
            self.log = TrainLog(self.run / "log.csv", self.step)
            if self.step == 0:
                self._save()
        first, started, spent = self.step, time.perf_counter(), self.seconds
        value, losses = math.nan, []
        if self.log and self.log.rows:
            value = self.log.rows[-1].val_psnr_y_db
        with progress(
            f"training {config.spec.name} ×{config.spec.scale}", config.steps, first
        ) as bar:
            while self.step < config.steps:
                losses.append(self._step())
                self.step += 1
                self.seconds = spent + time.perf_counter() - started
                if self.step % config.every == 0 or self.step == config.steps:
                    value = self._checkpoint(float(torch.stack(losses).mean()), value)
                    losses = []
                bar.advance(1, "" if math.isnan(value) else f"PSNR-Y {value:.2f} dB")
        elapsed = time.perf_counter() - started
        if self.main and self.log and self.log.rows:
            name = f"{config.spec.name} ×{config.spec.scale}"
            self.log.plot(self.run / "log.png", name)
        return TrainResult(
            run=self.run,
            net=config.spec.name,
            scale=config.spec.scale,
            step=self.step,
            val_psnr_y_db=value,
            steps_per_second=(self.step - first) / elapsed if self.step > first else 0.0,
            seconds=self.seconds,
        )

    def _int8(self, net: Net, pairs: Pairs, resume: bool) -> Int8Net:
        """Return the integer forward of the net: calibrated now, or as the checkpoint has it."""
        if resume:
            path = self.run / CHECKPOINT
            tensors, info = load_checkpoint(path)
            load_weights(net, _part(tensors, "net."), path)
            int8 = Int8Net(net, info.get(RANGES_KEY))
            load_weights(int8.ranges, _part(tensors, "forward_net.ranges."), path)
            self.proportions = checked(net, _part(tensors, "proportion."), path)
            return int8
        prepared = prepare(net, calibration_frames(pairs, self.config.frames))
        self.proportions = prepared.proportions
        return Int8Net(net, ranges_to_json(prepared.qparams))

    def _load_data(
        self, cache: Path | None, teacher: Teacher | None
    ) -> tuple[Pairs, Lessons | None]:
        config = self.config
        media = find_media([Path(path) for path in config.data])
        kept = set() if config.val else held_out(media)
        spec = config.spec

        def load(files: list[Path], *shrink: tuple[float, ...]) -> Pairs:
            with self.accelerator.main_process_first():
                how = config.degradation, cache, config.frames
                return load_pairs(files, spec.scale, spec.colour, *how, *shrink)

        used = [path for path in media if path not in kept]
        pairs, lessons = load(used, config.shrink, config.shrink_jpeg), None
        if teacher is not None:
            with self.accelerator.main_process_first():
                device = self.accelerator.device
                lessons = load_lessons(teacher, config, used, pairs, cache, device)
        val_media = find_media([Path(config.val)]) if config.val else sorted(kept)
        self.val = load(val_media) if val_media else None
        size = config.patch, config.batch, config.seed
        self.sampler = (
            PatchSampler(pairs, *size, lessons)
            if config.frames == 1
            else ClipSampler(pairs, *size, config.frames, lessons, config.burn_in)
        )
        return pairs, lessons

    def _step(self) -> Tensor:
        drawn = self.sampler.batch(self.step, self.accelerator.process_index)
        batch = tuple(part.to(self.accelerator.device) for part in drawn)
        rate = self.config.rate(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate_scale"]
        # Not the accelerator's own: it fixes one precision for every run of a process.
        kind = self.accelerator.device.type
        with torch.autocast(kind, torch.bfloat16, enabled=self.half):
            loss: Tensor = self.learner(*batch)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.learner.parameters(), self.config.clip)
        with in_proportion(self._plain().net, self.proportions):
            self.optimizer.step()
        with torch.no_grad():
            values = [value.detach() for value in self._plain().net.parameters()]
            decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.average.values()), values, 1.0 - decay)
        return loss.detach()

    def _plain(self) -> Learner:
        learner: Learner = self.accelerator.unwrap_model(self.learner)
        return learner

    def _checkpoint(self, loss: float, last: float) -> float:
        """Validate, log and save on the main process; return the validation PSNR."""
        if not math.isfinite(loss):
            raise DataError(
                f"step {self.step}: the loss is not finite; the last good checkpoint is "
                f"{self.run / CHECKPOINT}: start again from it with --init and a lower --lr"
            )
        if self.main and self.log:
            last = self._validate() if self.val else math.nan
            rate = self.config.rate(self.step)
            self.log.append(Row(self.step, round(self.seconds, 3), rate, loss, last))
            self._save()
        self.accelerator.wait_for_everyone()
        return last

    def _validate(self) -> float:
        """Return the PSNR-Y of the averaged weights."""
        assert self.val is not None
        learner = self._plain()
        with assigned(learner.net, self.average):
            return validate(learner.forward_net, self.val, self.config.frames)

    def _save(self) -> None:
        learner = self._plain()
        tensors: dict[str, Tensor] = dict(learner.named_parameters())
        tensors |= {f"ema.{name}": value for name, value in self.average.items()}
        tensors |= {f"proportion.{name}": value for name, value in self.proportions.items()}
        for name, value in learner.net.named_buffers():
            tensors |= {f"net.{name}": value, f"ema.{name}": value.clone()}
        for name, value in learner.named_parameters():
            for moment, state in self.optimizer.state.get(value, {}).items():
                tensors[_moment(moment, name)] = state
        info = {
            "spec": asdict(self.config.spec),
            "step": self.step,
            "seconds": self.seconds,
            "processes": self.accelerator.num_processes,
            "training": self._provenance(),
        }
        if self.int8:
            info[RANGES_KEY] = ranges_to_json(self.int8.qparams)
        save_checkpoint(self.run / CHECKPOINT, tensors, info)

    def _provenance(self) -> dict[str, Any]:
        """Return what a card says of the training."""
        config = self.config
        return {
            "data": [Path(path).name for path in config.data],
            "pictures": self.sampler.pictures,
            "steps": self.step,
            "batch": config.batch,
            "patch": config.patch,
            "frames": config.frames,
            "seed": config.seed,
            "degradation": config.degradation,
            "hours": round(self.seconds / 3600, 2),
            **({"qat": True} if config.qat else {}),
            **(config.taught_by() or {}),
        }

    def _restore(self, learner: Learner, optimizer: torch.optim.Optimizer) -> None:
        path = self.run / CHECKPOINT
        tensors, info = load_checkpoint(path)
        if info.get("processes") != self.accelerator.num_processes:
            raise SpecError(
                f"{path}: was trained by {info.get('processes')} processes, now there are "
                f"{self.accelerator.num_processes}; resume with as many"
            )
        load_weights(learner.net, _part(tensors, "net."), path)
        load_weights(learner.loss, _part(tensors, "loss."), path)
        averages = _part(tensors, "ema.")
        self.average = {name: averages[name] for name in self.average}
        self.step, self.seconds = int(info["step"]), float(info["seconds"])
        for name, value in learner.named_parameters():
            state = {
                moment: tensors[_moment(moment, name)]
                for moment in ("step", "exp_avg", "exp_avg_sq")
                if _moment(moment, name) in tensors
            }
            if state:
                optimizer.state[value] = {
                    key: tensor if key == "step" else tensor.to(value.device).view_as(value)
                    for key, tensor in state.items()
                }


def train(
    config: TrainConfig,
    run: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    threads: int | None = None,
    teacher: Teacher | None = None,
) -> TrainResult:
    """Train in the folder `run`, from the start or from its last checkpoint.

    `teacher` is the one that `config` names, for it to ask about what is not in the cache yet.
    `threads` bounds the CPU threads of a step; equal bits need an equal number of them.

    Raises:
        SpecError: `run` holds another run, or none to resume.
        DataError: no usable data.
        OutputError: the disk is full.
    """
    if threads is not None:
        torch.set_num_threads(max(1, threads))
        limit_threads(max(1, threads))
    path = run / CONFIG
    if resume:
        if not (run / CHECKPOINT).is_file():
            raise SpecError(f"{run}: holds no checkpoint to resume; leave --resume out")
        check_same(config, path)
        if (last := last_row(config, run)) is not None:
            name, value = config.spec.name, last.val_psnr_y_db
            return TrainResult(run, name, config.spec.scale, last.step, value, 0.0, last.seconds)
    elif path.exists():
        raise SpecError(f"{run}: holds a run already; add --resume, or choose another --out")
    trainer = Trainer(config, run, resume, cache, teacher)
    if trainer.main and not resume:
        write_json(path, config.to_json())
    return trainer.fit()


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _moment(moment: str, parameter: str) -> str:
    """Return the key of one of Adam's moments; those of the net go by its own names."""
    return f"adam.{moment}.{parameter.removeprefix('net.')}"
