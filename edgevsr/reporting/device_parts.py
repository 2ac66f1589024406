"""The sections about where results come from: devices, heat, equality, tools, faults."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from edgevsr.profiling.devices import Device
from edgevsr.profiling.measured import Measured, MeasuredDevice, Temperature
from edgevsr.reporting.markup import Child, Html, join, tag
from edgevsr.reporting.numbers import milliseconds, significant
from edgevsr.reporting.parts import badge, facts, folded, listed, table
from edgevsr.reporting.results import Result
from edgevsr.reporting.roofline_chart import shipped_device
from edgevsr.reporting.scales import Scale
from edgevsr.reporting.svg import Plot, path, responsive

_UNITS = {
    "peak_int8_tops": "int8 peak, 10¹² operations/s",
    "peak_float_tops": "float peak, 10¹² operations/s",
    "dram_gb_s": "DRAM, 10⁹ bytes/s",
    "sram_bytes": "SRAM, bytes",
    "elementwise_gops": "element-wise, 10⁹ elements/s",
}


def device_sections(results: Sequence[Result]) -> Html:
    """Return what is known of each device, measured and estimated ones under their own headings."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        if result.device is not None:
            groups[result.kind, result.device].append(result)
    return join(
        tag("article", _device(members), class_="card") for members in groups.values()
    ) or tag("p", "No result names a device.", class_="note")


def _device(members: Sequence[Result]) -> Html:
    first = members[0]
    heading = tag("h3", badge(first.kind), " ", first.device)
    runs = [each.measured for each in members if each.measured is not None]
    if runs:
        return join(heading, _device_facts(runs[0].device), (_heat(run) for run in runs))
    profile = shipped_device(first.device) if first.kind == "estimated" else None
    if profile is None:
        return join(heading, tag("p", "Nothing more is stated of it.", class_="note"))
    return join(heading, tag("p", profile.title), _profile_table(profile))


def _device_facts(device: MeasuredDevice) -> Html:
    known = {
        "model": device.model,
        "SoC": device.soc,
        "Android": device.android,
        "ABI": device.abi,
        "cores": device.cores,
        "governor": device.governor,
        "serial (hash)": device.serial_hash,
    }
    if not any(known.values()):
        return tag("p", "Nothing more is stated of it.", class_="note")
    return facts(known)


def _profile_table(device: Device) -> Html:
    def row(key: str) -> list[Child]:
        fact = device.facts[key]
        value = (
            ("yes" if fact.value else "no")
            if isinstance(fact.value, bool)
            else f"{fact.value:,g}"
            if fact.value < 1e6
            else f"{int(fact.value):,}"
        )
        return [_UNITS.get(key, key.replace("_", " ")), value, fact.mark, fact.source]

    return folded(
        f"What the estimate knows of it: {len(device.facts)} facts, each with its source",
        table(
            f"Profile of {device.name}",
            ("fact", "value", "mark", "source"),
            (row(key) for key in device.facts),
            numeric=(1,),
        ),
    )


def _heat(run: Measured) -> Html:
    """Return how speed and temperature went over a run, where it was followed."""
    zones: dict[str, list[Temperature]] = defaultdict(list)
    for reading in run.temperatures_c:
        zones[reading.zone].append(reading)
    hottest = sorted(zones.items(), key=lambda item: -max(each.celsius for each in item[1]))[:3]
    lines = [
        f"{zone}: {significant(readings[0].celsius)} °C at {significant(readings[0].seconds)} s, "
        f"at most {significant(max(each.celsius for each in readings))} °C"
        for zone, readings in hottest
    ]
    if run.throttled is not None:
        lines.append("throttled during the run" if run.throttled else "did not throttle")
    chart = _sustained(run) if len(run.sustained) > 1 else None
    return join(listed(lines, "notes"), chart)


def _sustained(run: Measured) -> Html:
    slices = sorted(run.sustained, key=lambda each: each.seconds)
    times = [each.ms for each in slices]

    def draw(width: float) -> tuple[float, Html]:
        plot = Plot(
            width,
            240,
            Scale(slices[0].seconds, slices[-1].seconds + 1e-9, 56, width - 12),
            Scale(0, max(times) * 1.15 + 1e-9, 194, 26),
        )
        points = [(plot.x.at(each.seconds), plot.y.at(each.ms)) for each in slices]
        return 240, join(
            plot.axes("seconds of sustained load", "ms a frame", significant, significant),
            path(points, f"trace {run.kind}"),
        )

    return tag(
        "figure",
        responsive(f"Sustained run of {run.file.name}", draw, marks=False),
        tag(
            "figcaption",
            f"{run.file.name}, {run.kind}: {milliseconds(times[0])} at first, "
            f"{milliseconds(times[-1])} at the end.",
        ),
    )


def equality_table(results: Sequence[Result]) -> Html | None:
    """Return how outputs compared with another machine's, where that was looked at."""
    rows = [
        [
            result.net,
            badge(result.kind),
            result.device,
            equality.against,
            f"{equality.different:,} of {equality.elements:,}",
            f"{equality.max_abs_diff:g}",
        ]
        for result in results
        if result.measured and (equality := result.measured.equality)
    ]
    if not rows:
        return None
    columns = ("network", "kind", "on", "against", "elements that differ", "largest difference")
    return table("Equality of outputs", columns, rows, numeric=(4, 5))


def fault_list(results: Sequence[Result]) -> Html | None:
    """Return what went wrong in the runs, in plain sight."""
    lines = [
        join(tag("b", result.net), f" on {result.device}: {fault}")
        for result in results
        for fault in (result.faults or (("ended early",) if result.partial else ()))
    ]
    return listed(lines, "faults") if lines else None


def tool_table(rows: Mapping[str, Mapping[str, str]]) -> Html:
    """Return the versions of the tools by which each input was made."""
    tools = list(dict.fromkeys(name for versions in rows.values() for name in versions))
    return table(
        "Tool versions",
        ("made by", *tools),
        (
            [origin, *(versions.get(name, "–") for name in tools)]
            for origin, versions in rows.items()
        ),
    )


def assumptions(results: Sequence[Result]) -> Html:
    """Return what the estimates rest on, each line once, with the devices that it speaks for."""
    lines: dict[str, set[str]] = defaultdict(set)
    for result in results:
        if result.kind == "estimated":
            for line in result.notes:
                lines[line].add(result.device or "")
    return listed(
        (join(tag("b", ", ".join(sorted(devices))), ": ", line) for line, devices in lines.items()),
        "notes",
    )
