"""The roofline: what each layer reaches against what the device's arithmetic and memory allow."""

from __future__ import annotations

from dataclasses import dataclass

from edgevsr.errors import BudgetError
from edgevsr.profiling.devices import Device, device_names, load_device
from edgevsr.reporting.markup import Html, join, tag
from edgevsr.reporting.numbers import milliseconds, significant
from edgevsr.reporting.results import Result
from edgevsr.reporting.scales import Scale
from edgevsr.reporting.svg import Plot, mark, path, responsive, words


@dataclass(frozen=True)
class Roof:
    """A device's two limits: operations a second, two a MAC, and bytes a second from DRAM."""

    gops: float
    gb_s: float


@dataclass(frozen=True)
class Spot:
    """One layer: operations a byte moved, and 10⁹ operations a second reached."""

    name: str
    op: str
    intensity: float
    gops: float
    ms: float


def spots(result: Result) -> list[Spot]:
    """Return the layers of a result that have MACs, bytes and a time."""
    return [
        Spot(
            layer.name, layer.op, 2e9 * layer.gmac / layer.bytes, 2e3 * layer.gmac / layer.ms,
            layer.ms,
        )
        for layer in result.layers
        if layer.gmac and layer.bytes and layer.ms
    ]  # fmt: skip


def shipped_device(name: str | None) -> Device | None:
    """Return the shipped profile of a device, or None where there is none of this name."""
    if name is None or name not in device_names():
        return None
    try:
        return load_device(name)
    except BudgetError:
        return None


def roof_of(result: Result, precision: str | None) -> Roof | None:
    """Return the roof of a result's device, where its profile states both limits."""
    device = shipped_device(result.device)
    if device is None or precision is None:
        return None
    tops, gb_s = device.value(f"peak_{precision}_tops"), device.value("dram_gb_s")
    return None if tops is None or gb_s is None else Roof(tops * 1e3, gb_s)


def roofline(result: Result, precision: str | None) -> Html | None:
    """Return the roofline of a result whose layers have times, else None."""
    found = spots(result)
    if not found:
        return None
    roof = roof_of(result, precision)

    def draw(width: float) -> tuple[float, Html]:
        plot = _frame(width, found, roof)
        return plot.height, join(
            plot.axes(
                "operations a byte moved (log)", "10⁹ operations/s (log)", significant, significant
            ),
            _roof(plot, roof) if roof else None,
            (
                mark(
                    result.kind,
                    plot.x.at(spot.intensity),
                    plot.y.at(spot.gops),
                    f"{spot.name} ({spot.op}): {significant(spot.gops)} Gop/s at "
                    f"{significant(spot.intensity)} op/byte, {milliseconds(spot.ms)}, "
                    f"{result.kind}",
                )
                for spot in found
            ),
        )

    caption = (
        f"Two operations a MAC. The roof is {significant(roof.gops / 1e3)} TOP/s and "
        f"{significant(roof.gb_s)} GB/s, from the device's profile."
        if roof
        else "Two operations a MAC. No roof: no profile states this machine's limits."
    )
    return tag(
        "figure",
        responsive(f"Roofline of {result.net} on {result.device}", draw),
        tag("figcaption", caption),
    )


def _frame(width: float, found: list[Spot], roof: Roof | None) -> Plot:
    height = 380.0 if width > 500 else 340.0
    intensities = [spot.intensity for spot in found]
    rates = [spot.gops for spot in found]
    if roof:
        intensities.append(roof.gops / roof.gb_s)
        rates.append(roof.gops)
    return Plot(
        width,
        height,
        Scale(min(intensities) / 2, max(intensities) * 2, 56, width - 12, log=True),
        Scale(min(rates) / 2, max(rates) * 2, height - 46, 26, log=True),
    )


def _roof(plot: Plot, roof: Roof) -> Html:
    """Return the slope of the memory and the flat of the arithmetic."""
    ridge = roof.gops / roof.gb_s
    left = max(plot.x.low, plot.y.low / roof.gb_s)
    corners = [(left, left * roof.gb_s), (ridge, roof.gops), (plot.x.high, roof.gops)]
    points = [(plot.x.at(x), plot.y.at(y)) for x, y in corners]
    return join(
        path(points, "roof"),
        words(plot.x.end - 4, plot.y.at(roof.gops) - 7, "peak of the MAC array", "name end row1"),
    )
