"""The training loop: L1 or L2, Adam under a cosine, averaged weights, resumable to the bit."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgevsr.data.pairs import Pairs, find_media, load_pairs
from edgevsr.errors import DataError, SpecError
from edgevsr.files import write_json
from edgevsr.metrics import psnr_db
from edgevsr.nets.checkpoint import load_checkpoint, load_net, load_weights, save_checkpoint
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build
from edgevsr.progress import progress
from edgevsr.training.config import TrainConfig
from edgevsr.training.log import Row, TrainLog
from edgevsr.training.plan import held_out, learning_rate, parameter_groups
from edgevsr.training.sampler import ClipSampler, PatchSampler

CHECKPOINT = "checkpoint.safetensors"
CONFIG = "run.json"
_LOSSES = {"l1": F.l1_loss, "l2": F.mse_loss}


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

    def __init__(self, config: TrainConfig, run: Path, resume: bool, cache: Path | None) -> None:
        from accelerate import Accelerator

        cuda = torch.cuda.is_available()
        self.accelerator = Accelerator(cpu=not cuda, mixed_precision="bf16" if cuda else "no")
        self.config, self.run = config, run
        self.main = self.accelerator.is_main_process
        self.seconds, self.step = 0.0, 0
        torch.manual_seed(config.seed)
        net = build(config.spec)
        net.set_form(config.form)
        if config.init and not resume:
            warm_start(net, Path(config.init))
        self._load_data(cache)
        self.average = {name: value.detach().clone() for name, value in net.named_parameters()}
        optimizer = torch.optim.Adam(parameter_groups(net), lr=config.lr, fused=True)
        if resume:
            self._restore(net, optimizer)
        self.net, self.optimizer = self.accelerator.prepare(net, optimizer)
        device = self.accelerator.device
        self.average = {name: value.to(device) for name, value in self.average.items()}
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

    def _load_data(self, cache: Path | None) -> None:
        config = self.config
        media = find_media([Path(path) for path in config.data])
        kept = set() if config.val else held_out(media)
        spec = config.spec

        def load(files: list[Path]) -> Pairs:
            with self.accelerator.main_process_first():
                return load_pairs(
                    files, spec.scale, spec.colour, config.degradation, cache, config.frames
                )

        pairs = load([path for path in media if path not in kept])
        val_media = find_media([Path(config.val)]) if config.val else sorted(kept)
        self.val = load(val_media) if val_media else None
        size = config.patch, config.batch, config.seed
        self.sampler = (
            PatchSampler(pairs, *size)
            if config.frames == 1
            else ClipSampler(pairs, *size, config.frames)
        )

    def _step(self) -> Tensor:
        lr, hr = self.sampler.batch(self.step, self.accelerator.process_index)
        device = self.accelerator.device
        lr, hr = lr.to(device), hr.to(device)
        rate = learning_rate(self.step, self.config.steps, self.config.lr)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["rate_scale"]
        with self.accelerator.autocast():
            sr = self.net(lr, self.config.window) if self.config.window else self.net(lr)
        loss = _LOSSES[self.config.loss](sr.float(), hr)
        self.optimizer.zero_grad()
        self.accelerator.backward(loss)
        self.accelerator.clip_grad_norm_(self.net.parameters(), self.config.clip)
        self.optimizer.step()
        with torch.no_grad():
            values = [value.detach() for value in self._plain().parameters()]
            decay = min(self.config.ema_decay, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(list(self.average.values()), values, 1.0 - decay)
        return loss.detach()

    def _plain(self) -> Net:
        net: Net = self.accelerator.unwrap_model(self.net)
        return net

    def _checkpoint(self, loss: float, last: float) -> float:
        """Validate, log and save on the main process; return the validation PSNR."""
        if not math.isfinite(loss):
            raise DataError(
                f"step {self.step}: the loss is not finite; the last good checkpoint is "
                f"{self.run / CHECKPOINT}: start again from it with --init and a lower --lr"
            )
        if self.main and self.log:
            last = self._validate() if self.val else math.nan
            rate = learning_rate(self.step, self.config.steps, self.config.lr)
            self.log.append(Row(self.step, round(self.seconds, 3), rate, loss, last))
            self._save()
        self.accelerator.wait_for_everyone()
        return last

    def _validate(self) -> float:
        """Return the mean PSNR-Y of the averaged weights on whole held-out pictures and clips."""
        assert self.val is not None
        net = self._plain()
        current = {name: value.detach().clone() for name, value in net.named_parameters()}
        _assign(net, self.average)
        try:
            with torch.inference_mode():
                values = [
                    _clip_psnr_db(net, self.val, int(first), min(int(count), self.config.frames))
                    for first, count in self.val.clips
                ]
        finally:
            _assign(net, current)
        return float(np.mean(values))

    def _save(self) -> None:
        net = self._plain()
        tensors: dict[str, Tensor] = {
            f"net.{name}": value for name, value in net.named_parameters()
        }
        tensors |= {f"ema.{name}": value for name, value in self.average.items()}
        for name, value in net.named_parameters():
            for moment, state in self.optimizer.state.get(value, {}).items():
                tensors[f"adam.{moment}.{name}"] = state
        info = {
            "spec": asdict(self.config.spec),
            "step": self.step,
            "seconds": self.seconds,
            "processes": self.accelerator.num_processes,
            "training": self._provenance(),
        }
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
        }

    def _restore(self, net: Net, optimizer: torch.optim.Optimizer) -> None:
        path = self.run / CHECKPOINT
        tensors, info = load_checkpoint(path)
        if info.get("processes") != self.accelerator.num_processes:
            raise SpecError(
                f"{path}: was trained by {info.get('processes')} processes, now there are "
                f"{self.accelerator.num_processes}; resume with as many"
            )
        load_weights(net, _part(tensors, "net."), path)
        averages = _part(tensors, "ema.")
        self.average = {name: averages[name] for name in self.average}
        self.step, self.seconds = int(info["step"]), float(info["seconds"])
        for name, value in net.named_parameters():
            state = {
                moment: tensors[f"adam.{moment}.{name}"]
                for moment in ("step", "exp_avg", "exp_avg_sq")
                if f"adam.{moment}.{name}" in tensors
            }
            if state:
                optimizer.state[value] = {
                    key: tensor if key == "step" else tensor.to(value.device).view_as(value)
                    for key, tensor in state.items()
                }


def warm_start(net: nn.Module, path: Path) -> None:
    """Copy every weight of a checkpoint that has the same name and shape: ×2 starts ×4.

    Raises:
        SourceError: the checkpoint is damaged.
        SpecError: nothing in it fits.
    """
    source, _ = load_net(path / CHECKPOINT if path.is_dir() else path)
    own, given = net.state_dict(), source.state_dict()
    fitting = {k: v for k, v in given.items() if k in own and v.shape == own[k].shape}
    if not fitting:
        raise SpecError(f"--init {path}: no weight has the name and shape of this net's")
    net.load_state_dict({**own, **fitting})


def train(
    config: TrainConfig,
    run: Path,
    *,
    resume: bool = False,
    cache: Path | None = None,
    threads: int | None = None,
) -> TrainResult:
    """Train in the folder `run`, from the start or from its last checkpoint.

    `threads` bounds the CPU threads of a step; equal bits need an equal number of them.

    Raises:
        SpecError: `run` holds another run, or none to resume.
        DataError: no usable data.
        OutputError: the disk is full.
    """
    if threads is not None:
        torch.set_num_threads(max(1, threads))
    path = run / CONFIG
    if resume:
        if not (run / CHECKPOINT).is_file():
            raise SpecError(f"{run}: holds no checkpoint to resume; leave --resume out")
        _check_same(config, path)
    elif path.exists():
        raise SpecError(f"{run}: holds a run already; add --resume, or choose another --out")
    trainer = Trainer(config, run, resume, cache)
    if trainer.main and not resume:
        write_json(path, config.to_json())
    return trainer.fit()


def _check_same(config: TrainConfig, path: Path) -> None:
    import json

    try:
        stored = TrainConfig.from_json(json.loads(path.read_text())).to_json()
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read ({error})") from error
    asked = config.to_json()
    stored, asked = ({**value.pop("spec"), **value} for value in (stored, asked))
    changed = [f"{key}: {stored[key]} → {asked[key]}" for key in asked if asked[key] != stored[key]]
    if changed:
        raise SpecError(f"{path.parent}: --resume with other settings ({'; '.join(changed)})")


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _assign(net: nn.Module, values: dict[str, Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            parameter.copy_(values[name])


def _clip_psnr_db(net: Net, pairs: Pairs, first: int, count: int) -> float:
    """Return the mean PSNR-Y of the frames of a clip, or of the one picture that a still is."""
    from edgevsr.data.colour import rgb_to_y

    device = next(net.parameters()).device
    views = [pairs.picture(first + i) for i in range(count)]
    lrs = np.stack([(lr / pairs.unit).astype(np.float32) for lr, _ in views])
    clip = torch.from_numpy(lrs.transpose(0, 3, 1, 2)[None]).to(device)
    srs = net(clip).float().clamp(0, 1)[0].permute(0, 2, 3, 1).cpu().numpy()
    scores = []
    for sr, (_, hr) in zip(srs, views, strict=True):
        rounded, truth = np.round(sr * 255.0), hr / (pairs.unit / 255.0)
        if pairs.channels == 3:
            scores.append(psnr_db(rgb_to_y(rounded), rgb_to_y(truth), pairs.scale))
        else:
            scores.append(psnr_db(rounded[..., 0], truth[..., 0], pairs.scale))
    return float(np.mean(scores))
