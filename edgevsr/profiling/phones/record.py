"""What a run has brought so far, to be kept whatever happens next."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from edgevsr import __version__
from edgevsr.files import sha256_of
from edgevsr.profiling.measured import (
    LayerTime,
    Measured,
    MeasuredDevice,
    MeasuredRuntime,
    Slice,
    Temperature,
)
from edgevsr.profiling.phones.facts import Heat
from edgevsr.profiling.phones.logs import BenchmarkLog
from edgevsr.profiling.phones.text import clean

if TYPE_CHECKING:
    from edgevsr.profiling.phones.session import Request

#: A device whose last frames take this much longer than its best ones has slowed down.
SLOWED = 1.10
_MIN_SLICES = 3


@dataclass
class Record:
    """The growing measurement of one phone."""

    request: Request
    device: MeasuredDevice = field(default_factory=lambda: MeasuredDevice("unknown"))
    log: BenchmarkLog = field(default_factory=BenchmarkLog)
    layers: tuple[LayerTime, ...] = ()
    slices: list[Slice] = field(default_factory=list)
    temperatures: list[Temperature] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    partial: bool = False
    began: float = field(default_factory=time.monotonic)
    date: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def has_times(self) -> bool:
        """Whether any time has come back."""
        return bool(self.slices) or self.log.latency_ms.mean is not None

    def start(self) -> None:
        """Put the zero of all times here; what was read before it gets negative seconds."""
        passed = time.monotonic() - self.began
        self.temperatures = [
            Temperature(round(each.seconds - passed, 1) or 0.0, each.zone, each.celsius)
            for each in self.temperatures
        ]
        self.began += passed
        self.date = datetime.now(UTC)

    def begin_again(self) -> None:
        """Forget the attempt that failed but for its faults: another one begins."""
        self.partial = False
        self.temperatures.clear()
        self.statuses.clear()
        self.began = time.monotonic()

    def fail(self, fault: object) -> None:
        """Note a fault after which not all came back."""
        self.faults.append(clean(str(fault), 400))
        self.partial = True

    def add_heat(self, heat: Heat) -> None:
        """Note a reading of the temperatures."""
        seconds = round(time.monotonic() - self.began, 1)
        self.temperatures += [Temperature(seconds, *pair) for pair in heat.celsius.items()]
        if heat.status is not None:
            self.statuses.append(heat.status)

    def add_slice(self, milliseconds: float) -> None:
        """Note one stretch of a sustained run."""
        self.slices.append(Slice(round(time.monotonic() - self.began, 1), milliseconds))

    @property
    def throttled(self) -> bool | None:
        """Whether the phone says that it throttles more, or a sustained run slowed down."""
        slowed = None
        if len(self.slices) >= _MIN_SLICES:
            third = [each.ms for each in self.slices[-(len(self.slices) // _MIN_SLICES) :]]
            slowed = sum(third) / len(third) > SLOWED * min(each.ms for each in self.slices)
        told = max(self.statuses) > self.statuses[0] if self.statuses else None
        return None if slowed is told is None else bool(slowed or told)

    def to_measured(self, adb_version: str) -> Measured:
        """Return the record as a measurement."""
        request, log = self.request, self.log
        digest = sha256_of(request.program)[:12]
        program = f"{log.version or 'version unknown'}, sha256 {digest}"
        return Measured(
            kind="measured",
            date=self.date.isoformat(timespec="seconds"),
            file=request.file,
            device=self.device,
            runtime=MeasuredRuntime(
                request.tool.runtime, log.version, request.delegate, request.threads
            ),
            runs=log.runs,
            latency_ms=log.latency_ms,
            init_ms=log.init_ms,
            first_ms=log.first_ms,
            memory_bytes=log.memory_bytes,
            layers=self.layers,
            temperatures_c=tuple(self.temperatures),
            sustained=tuple(self.slices),
            throttled=self.throttled,
            partial=self.partial,
            faults=tuple(self.faults),
            tools={"edgevsr": __version__, "adb": adb_version, request.tool.name: program},
            **vars(request.subject),
        )
