"""What a profile says about how it was fitted: the errors seen on networks left out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from edgevsr.errors import BudgetError


@dataclass(frozen=True)
class CalibrationRecord:
    """How well a fitted profile predicts networks that it was not fitted on.

    Errors are |estimate / measured − 1|: over every file, each predicted from a fit that had not
    seen its network at any scale (`mape`, `p90_ape`, `max_ape`), and their mean when fitted on one
    scale and asked for another (`cross_scale_mape`, such as {"2->4": 0.1}). `sizes` are the LR
    frames measured, `data_sha256` is of the table they stood in.
    """

    files: int
    networks: int
    sizes: tuple[str, ...]
    mape: float
    p90_ape: float
    max_ape: float
    spearman: float
    cross_scale_mape: Mapping[str, float]
    data_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return {**asdict(self), "sizes": list(self.sizes)}

    def range_of(self, latency_ms: float) -> tuple[float, float]:
        """Return the latencies between which nine of ten networks left out were found."""
        return latency_ms / (1 + self.p90_ape), latency_ms * (1 + self.p90_ape)

    @property
    def in_words(self) -> str:
        """Where the range comes from."""
        return (
            f"9 of 10 files of networks left out of the fit were within {self.p90_ape:.0%} "
            f"({self.files} files of {self.networks} networks, LR {', '.join(self.sizes)}, "
            f"mean {self.mape:.1%}, worst {self.max_ape:.0%})"
        )


def parse_record(entry: Any, origin: str) -> CalibrationRecord | None:
    """Return the record that a profile's [calibration] table holds, or None without one.

    Raises:
        BudgetError: a key is missing, unknown, or of the wrong kind; the key is named.
    """
    if entry is None:
        return None
    known = [field.name for field in fields(CalibrationRecord)]
    if not isinstance(entry, dict):
        raise BudgetError(f"{origin}: calibration: expected a table of {', '.join(known)}")
    for key in [*entry, *known]:
        if key not in known:
            raise BudgetError(f"{origin}: calibration.{key[:40]!r}: is not a key of a calibration")
        if key not in entry:
            raise BudgetError(f"{origin}: calibration.{key}: is missing; run edgevsr calibrate")
        if not _right(key, entry[key]):
            raise BudgetError(f"{origin}: calibration.{key}: {str(entry[key])[:60]!r} is not one")
    return CalibrationRecord(**{**entry, "sizes": tuple(entry["sizes"])})


def _right(key: str, value: Any) -> bool:
    if key in ("files", "networks"):
        return isinstance(value, int) and not isinstance(value, bool) and value > 0
    if key == "sizes":
        return isinstance(value, list) and all(isinstance(size, str) for size in value)
    if key == "cross_scale_mape":
        return isinstance(value, dict) and all(_is_share(share) for share in value.values())
    if key == "data_sha256":
        return isinstance(value, str)
    return _is_share(value, -1 if key == "spearman" else 0)


def _is_share(value: Any, low: float = 0) -> bool:
    if isinstance(value, bool) or not isinstance(value, float | int):
        return False
    return math.isfinite(value) and low <= value <= 1e3
