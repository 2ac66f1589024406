"""Whether a run's folder holds the run that is asked for, and whether it is done."""

from __future__ import annotations

import json
import math
from pathlib import Path

from edgevsr.errors import SpecError
from edgevsr.files import CHECKPOINT
from edgevsr.nets.checkpoint import load_checkpoint
from edgevsr.training.config import TrainConfig
from edgevsr.training.log import Row, TrainLog

CONFIG = "run.json"


def check_same(config: TrainConfig, path: Path) -> None:
    """Refuse to resume a run whose stored config is another.

    Raises:
        SpecError: it is another, or cannot be read.
    """
    try:
        stored = TrainConfig.from_json(json.loads(path.read_text())).to_json()
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read ({error})") from error
    asked = config.to_json()
    stored, asked = ({**value.pop("spec"), **value} for value in (stored, asked))
    changed = [f"{key}: {stored[key]} → {asked[key]}" for key in asked if asked[key] != stored[key]]
    if changed:
        raise SpecError(f"{path.parent}: --resume with other settings ({'; '.join(changed)})")


def last_row(config: TrainConfig, run: Path) -> Row | None:
    """Return the last line of a run's log where it has reached its last step, else None.

    Also None where several processes trained it: their number is the trainer's to check.
    """
    info = load_checkpoint(run / CHECKPOINT)[1]
    if info.get("step") != config.steps or info.get("processes", 1) != 1:
        return None
    rows = TrainLog(run / "log.csv", config.steps).rows
    return rows[-1] if rows else Row(config.steps, 0.0, math.nan, math.nan, math.nan)
