"""Reads results: the files that `edgevsr profile` writes, whoever hands them over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, get_args

from edgevsr.errors import DataError
from edgevsr.files import read_at_most
from edgevsr.profiling.decoding import MAX_BYTES, decode, parse_json, short
from edgevsr.profiling.measured import Measured, measured_from
from edgevsr.profiling.profile_report import Kind, LayerProfile
from edgevsr.reporting.results import LayerCost, Result

_EXPECTED = "what edgevsr profile FILE --json prints"


@dataclass(frozen=True)
class _Profile:
    """The keys of `edgevsr profile --json` that the page shows."""

    kind: Kind
    source: str
    size: str
    scale: int
    params: int
    gmac: float
    layers: tuple[LayerProfile, ...]
    assumptions: tuple[str, ...] = ()
    file_bytes: int | None = None
    peak_activation_bytes: int | None = None
    dram_bytes: int | None = None
    device: str | None = None
    runtime: str | None = None
    threads: int | None = None
    runs: int | None = None
    latency_ms: float | None = None
    latency_ms_p90: float | None = None
    latency_ms_min: float | None = None
    latency_ms_low: float | None = None
    latency_ms_high: float | None = None
    target_fps: float | None = None
    bound_by: str | None = None
    utilisation: float | None = None
    estimator: str | None = None
    obstacles: tuple[str, ...] = ()


def read_result(path: Path) -> Result:
    """Return the one result in a file.

    Raises:
        DataError: as `read_results`, or the file holds measurements of several devices.
    """
    found = read_results(path)
    if len(found) > 1:
        raise DataError(
            f"{path}: holds measurements of {len(found)} devices; give the file of one "
            "(edgevsr profile --on … -o)"
        )
    return found[0]


def read_results(path: Path) -> list[Result]:
    """Return what is in a file that `edgevsr profile` wrote, as --json or as a measurement.

    A report of several phones is a result for each.

    Raises:
        DataError: the file cannot be read, is neither, or holds a value that cannot be right; the
            key is named.
    """
    data = read_at_most(path, MAX_BYTES, "this result", DataError)
    value = parse_json(data, str(path), _EXPECTED)
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected one JSON object, got {short(value)}")
    if "schema" in value:
        return [from_measured(measured_from(value, origin=str(path)), str(path))]
    if value.get("kind") in get_args(Kind) and "layers" in value:
        profile = cast(_Profile, decode(_Profile, value, str(path)))
        return _of_devices(profile, value, str(path)) or [_from_profile(profile, str(path))]
    hint = ""
    if "schema_version" in value:
        hint = "; this is an artifact's card: give the artifact itself"
    raise DataError(
        f"{path}: is no result (its kind is {short(value.get('kind'))}); expected {_EXPECTED}{hint}"
    )


def from_measured(measured: Measured, origin: str) -> Result:
    """Return a measurement as a result; `origin` is where it was read."""
    runtime = measured.runtime
    conditions = {
        "device": measured.device.name,
        "file": measured.file.sha256 or measured.file.name,
        "LR frame": measured.size,
        "runtime": " ".join(part for part in (runtime.name, runtime.version) if part),
        "delegate": runtime.delegate,
        "threads": runtime.threads,
    }
    costs = {
        "init_ms": measured.init_ms,
        "first_ms": measured.first_ms,
        "memory_bytes": measured.memory_bytes,
        "file_bytes": measured.file.bytes,
    }
    return Result(
        kind=measured.kind,
        origin=origin,
        net=measured.net or measured.file.name,
        device=measured.device.name,
        size=measured.size,
        scale=measured.scale,
        latency_ms=_known(vars(measured.latency_ms)),
        conditions={key: str(value) for key, value in conditions.items() if value is not None},
        layers=tuple(LayerCost(each.name, each.op, each.ms) for each in measured.layers),
        psnr_y_db=measured.psnr_y_db or {},
        gmac=measured.gmac,
        costs=_known(costs),
        notes=(f"{measured.runs} runs, {measured.date}",),
        faults=measured.faults,
        partial=measured.partial,
        tools=measured.tools,
        measured=measured,
    )


def _of_devices(profile: _Profile, value: dict[str, Any], origin: str) -> list[Result]:
    """Return the measurements inside a report, with what the report knows of the network."""
    inside = value.get("measured")
    if not isinstance(inside, list):
        return []
    costs = {layer.name: layer for layer in profile.layers}
    results = []
    for each in inside:
        result = from_measured(measured_from(each, origin=origin), origin)
        layers = tuple(
            replace(layer, gmac=costs[layer.name].gmac, bytes=costs[layer.name].bytes)
            if layer.name in costs
            else layer
            for layer in result.layers
        )
        results.append(
            replace(
                result,
                net=profile.source,
                params=profile.params,
                gmac=profile.gmac,
                size=profile.size,
                scale=profile.scale,
                layers=layers,
                notes=(*result.notes, *profile.assumptions),
                target_fps=profile.target_fps,
            )
        )
    return results


def _from_profile(profile: _Profile, origin: str) -> Result:
    if (profile.kind == "static") != (profile.latency_ms is None):
        raise DataError(
            f"{origin}: latency_ms: a {profile.kind} report "
            f"{'has no times' if profile.kind == 'static' else 'needs its latency'}"
        )
    latency = {
        "p50": profile.latency_ms,
        "p90": profile.latency_ms_p90,
        "min": profile.latency_ms_min,
        "low": profile.latency_ms_low,
        "high": profile.latency_ms_high,
    }
    device = profile.device if profile.kind != "measured" else profile.device or "this host"
    conditions = {
        "device": device,
        "LR frame": profile.size,
        "runtime": profile.runtime,
        "estimator": profile.estimator,
        "threads": profile.threads,
    }
    costs = {
        "file_bytes": profile.file_bytes,
        "peak_activation_bytes": profile.peak_activation_bytes,
        "dram_bytes": profile.dram_bytes,
    }
    return Result(
        kind=profile.kind,
        origin=origin,
        net=profile.source,
        device=device,
        size=profile.size,
        scale=profile.scale,
        latency_ms=_known(latency),
        conditions={key: str(value) for key, value in conditions.items() if value is not None},
        layers=tuple(
            LayerCost(each.name, each.op, each.ms, each.gmac, each.bytes) for each in profile.layers
        ),
        gmac=profile.gmac,
        params=profile.params,
        costs=_known(costs),
        notes=profile.assumptions,
        faults=profile.obstacles,
        target_fps=profile.target_fps,
        tools={"estimator": profile.estimator} if profile.estimator else {},
    )


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}
