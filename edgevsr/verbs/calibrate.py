"""The verb `calibrate`: a device profile fitted to measured latencies, and its honest error."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgevsr.errors import DataError
from edgevsr.files import check_output, write_bytes
from edgevsr.profiling.calibration import Calibration, Fitted, LeftOut, Sample, spearman
from edgevsr.profiling.calibration_record import CalibrationRecord
from edgevsr.profiling.cost_graph import cost_graph
from edgevsr.profiling.devices import Device, Fact, parse_device
from edgevsr.profiling.latency_table import LatencyTable, read_table
from edgevsr.profiling.profile_toml import profile_toml
from edgevsr.profiling.roofline import estimate


@dataclass(frozen=True)
class CalibratedFile:
    """A measured file: what the fit says of it, and what a fit without its network says."""

    file: str
    network: str
    scale: int
    measured_ms: float
    fitted_ms: float
    left_out_ms: float


@dataclass(frozen=True)
class CalibrationResult:
    """A fitted profile and how well it predicts networks that it was not fitted on."""

    output: str
    device: Device
    column: str
    files: tuple[CalibratedFile, ...]
    record: CalibrationRecord

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        record = self.record.to_json()
        return {
            "output": self.output,
            "device": self.device.name,
            "column": self.column,
            "constants": {key: fact.value for key, fact in self.device.facts.items()},
            "mape": self.record.mape,
            "p90_ape": self.record.p90_ape,
            "max_ape": self.record.max_ape,
            "spearman": self.record.spearman,
            "cross_scale_mape": record["cross_scale_mape"],
            "networks": self.record.networks,
            "sizes": record["sizes"],
            "data_sha256": self.record.data_sha256,
            "files": [asdict(file) for file in self.files],
        }


def calibrate(
    *,
    source: Path | str,
    output: Path | str,
    models: Path | str | None = None,
    column: str | None = None,
    title: str | None = None,
    origin: str | None = None,
    force: bool = False,
) -> CalibrationResult:
    """Fit the cost model to the latencies in `source` and write the profile `output` (.toml).

    `source` is a CSV (columns model, file and milliseconds) or a folder of measurements; its files
    lie below `models`, by default beside it. `column` names the milliseconds where the profile's
    name does not tell which. `title` is the device's full name, `origin` says who measured.

    Raises:
        DataError: the latencies cannot be read, cannot be right, or are too few.
        SourceError: a measured file is missing, damaged, or of operators without a known cost.
        OutputError: the profile exists, or cannot be written.
    """
    source, output = Path(source), Path(output)
    if output.suffix != ".toml":
        raise DataError(f"{output}: a device profile's name ends in .toml")
    check_output(output, force)
    table = read_table(source, column, output.stem)
    folder = Path(models) if models is not None else source if source.is_dir() else source.parent
    samples = _samples(table, folder)
    calibration = Calibration(samples)
    fitted, left_out = calibration.fit(), calibration.leave_out()
    record = _record(samples, left_out, table)
    whence = f"edgevsr calibrate on {source.name}, column {table.column}" + (
        f": {origin}" if origin else ""
    )
    device = _device(output.stem, title, fitted, record, whence, samples[0].graph.quantized)
    text = profile_toml(device).encode("utf-8", "replace")
    parse_device(text, device.name, origin=str(output))  # no rate out of its unit's range
    write_bytes(output, text, force)
    files = tuple(
        CalibratedFile(
            sample.file,
            sample.network,
            sample.graph.scale,
            sample.latency_ms,
            estimate(sample.graph, sample.size, device).latency_ms,
            unseen,
        )
        for sample, unseen in zip(samples, left_out.predicted_ms, strict=True)
    )
    return CalibrationResult(str(output), device, table.column, files, record)


def _samples(table: LatencyTable, folder: Path) -> list[Sample]:
    samples = []
    for row in table.rows:
        graph = cost_graph(folder / row.file)
        assert graph.size is not None  # a .tflite file has fixed one
        samples.append(Sample(row.file, row.network, row.latency_ms, graph, graph.size))
    return samples


def _record(samples: list[Sample], left_out: LeftOut, table: LatencyTable) -> CalibrationRecord:
    measured = [sample.latency_ms for sample in samples]
    error = np.abs(np.array(left_out.predicted_ms) / measured - 1)
    return CalibrationRecord(
        files=len(samples),
        networks=len({sample.network for sample in samples}),
        sizes=tuple(sorted({f"{sample.size[0]}x{sample.size[1]}" for sample in samples})),
        mape=round(float(error.mean()), 4),
        p90_ape=round(float(np.quantile(error, 0.9)), 4),
        max_ape=round(float(error.max()), 4),
        spearman=round(spearman(left_out.predicted_ms, measured), 4),
        cross_scale_mape={k: round(v, 4) for k, v in left_out.cross_scale_mape.items()},
        data_sha256=table.sha256,
    )


def _device(
    name: str,
    title: str | None,
    fitted: Fitted,
    record: CalibrationRecord,
    whence: str,
    quantized: bool,
) -> Device:
    structure = fitted.setting.structure
    rates = {
        f"peak_{'int8' if quantized else 'float'}_tops": fitted.ops_per_s / 1e12,
        "dram_gb_s": None if fitted.bytes_per_s is None else fitted.bytes_per_s / 1e9,
        "elementwise_gops": None if fitted.elements_per_s is None else fitted.elements_per_s / 1e9,
        "launch_ms": fitted.launch_ms,
    }
    chosen: dict[str, float] = {
        "in_channel_multiple": structure.in_multiple,
        "out_channel_multiple": structure.out_multiple,
        "resident_bytes": structure.resident_bytes,
        "deconvolution_per_hr_pixel": structure.deconvolution_per_hr_pixel,
    }
    facts = {
        key: Fact(float(f"{value:.6g}"), f"effective, fitted; {whence}", "measured")
        for key, value in rates.items()
        if value is not None
    }
    facts |= {
        key: Fact(value, f"of those tried, fits best; {whence}", "measured")
        for key, value in chosen.items()
    }
    notes = (
        "Rates are what networks got of the device, not its peaks; dram_gb_s counts activations "
        "that caches serve, so it may be above the DRAM's."
    )
    return Device(name, title or name, facts, notes, calibration=record)
