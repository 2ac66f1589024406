"""What a person reads: each verb's result as tables on stdout, from the same keys as --json."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType

from edgevsr.cli.print_profiling import (
    calibrate_text,
    compare_text,
    fit_text,
    lint_text,
    profile_text,
    report_text,
)
from edgevsr.cli.print_references import references_text
from edgevsr.tables import bytes_text, facts, gate, notes, show, table, verdict

Values = Mapping[str, Any]

_STAGES = ("decode", "net", "encode")


def print_result(verb: str, values: Values) -> None:
    """Print the result of a verb; without colour, and wide enough, when not on a terminal."""
    show(_VERBS[verb](values))


def _db(value: float | None) -> str:
    return "∞" if value is None else f"{value:.2f}"


def _list(values: Values) -> RenderableType:
    (kind,) = values
    texts = {"nets": _nets, "zoo": _zoo, "devices": _devices, "targets": _targets}
    return (texts | {"references": references_text})[kind](values[kind])


def _nets(entries: Sequence[Values]) -> RenderableType:
    own = ("name", "family", "colour", "scales", "activations")
    return table(
        ("name", "colour", "scales", "activations", "structure"),
        (
            (
                entry["name"],
                entry["colour"],
                entry["scales"],
                entry["activations"],
                ", ".join(f"{key} {value}" for key, value in entry.items() if key not in own),
            )
            for entry in entries
        ),
    )


def _zoo(entries: Sequence[Values]) -> RenderableType:
    sets = list(dict.fromkeys(name for entry in entries for name in entry["psnr_y_db"]))
    return table(
        ("name", "scale", "colour", "form", "weights", "GMAC at 720p", *(f"{s} dB" for s in sets)),
        (
            (
                entry["name"],
                f"×{entry['scale']}",
                entry["colour"],
                entry["form"],
                entry["params"],
                f"{entry['gmac']:.3f}",
                *(entry["psnr_y_db"].get(name) for name in sets),
            )
            for entry in entries
        ),
    )


def _devices(entries: Sequence[Values]) -> RenderableType:
    def fact(entry: Values, key: str) -> str | None:
        found = entry["facts"].get(key)
        if found is None:
            return None
        value = found["value"] / 1024 if key == "sram_bytes" else found["value"]
        return f"{value:g}" + (" (assumed)" if found["mark"] == "assumed" else "")

    return table(
        ("name", "device", "int8 TOP/s", "DRAM GB/s", "SRAM KiB"),
        (
            (
                entry["name"],
                entry["title"],
                *(fact(entry, key) for key in ("peak_int8_tops", "dram_gb_s", "sram_bytes")),
            )
            for entry in entries
        ),
    )


def _targets(entries: Sequence[Values]) -> RenderableType:
    return table(
        ("name", "format", "what it is", "precision", "frames"),
        (
            tuple(entry[key] for key in ("name", "format", "summary", "precisions", "io"))
            for entry in entries
        ),
    )


def _plain(values: Values) -> RenderableType:
    return facts({name.replace("_", " "): value for name, value in values.items()})


def _collapse(values: Values) -> RenderableType:
    return facts(
        {
            "net": f"{values['net']} ×{values['scale']}",
            "weights": f"{values['params_wide']:,} wide → {values['params_narrow']:,} narrow",
            "max abs error": f"{values['max_abs_err']:.2e} (values in [0, 1])",
            "written": values["output"],
        }
    )


_FORMS = {"int8": "int8", "int16": "w8a16"}


def _quantize(values: Values) -> RenderableType:
    drop, worst = values["psnr_drop_db"], values["worst"]
    return Group(
        facts(
            {
                "calibrated on": f"{values['calibration_frames']} frames",
                "PSNR-Y float": drop if drop is None else f"{values['psnr_y_db_float']:.2f} dB",
                f"PSNR-Y {_FORMS[values['activations']]}": drop
                if drop is None
                else f"{values['psnr_y_db_int8']:.2f} dB",
                "drop": "not measured: no --data" if drop is None else f"{drop:.3f} dB",
                "worst": f"{worst['name']}: {worst['psnr_drop_db']:.3f} dB" if worst else None,
                **{
                    f"drop on {clip['name']}": f"{_db(clip['psnr_drop_db'])} dB"
                    for clip in values["clips"]
                },
                **_damage(values["damage"]),
                "written": values["output"],
            }
        ),
        *gate(values["drop_met"], "drop of at most {:g} dB", values["max_drop_db"]),
    )


def _damage(damage: Values | None) -> dict[str, str]:
    if damage is None:
        return {}
    shift = ", ".join(f"{value:+.3f}" for value in damage["shift"])
    return {
        "error": f"{damage['error']:.3f} levels of 255, mean {shift}",
        "grid": f"{damage['grid']:.3f} levels at the shuffle's period; by chance "
        f"{damage['grid_by_chance']:.3f}",
    }


def _export(values: Values) -> RenderableType:
    ends = [
        (end, io["role"], io["name"], "×".join(map(str, io["shape"])), io["dtype"], io["scale"],
         io["zero_point"])
        for end in ("inputs", "outputs")
        for io in values[end]
    ]  # fmt: skip
    return Group(
        facts(
            {
                "written": f"{values['output']} ({values['format']}), card {values['card']}",
                "LR frame": values["size"],
                "size": bytes_text(values["bytes"]),
                "sha256": values["sha256"],
                "operators": ", ".join(f"{count} {op}" for op, count in values["ops"].items()),
            }
        ),
        table(("", "role", "name", "shape", "type", "scale", "zero point"), ends),
    )


def _verify(values: Values) -> RenderableType:
    checks = [
        (check["name"], _measured(check["value"]), f"{check['bound']:.4g}", check["passed"])
        for check in values["checks"]
    ]
    ran = f"{values['runtime']} ({values['backend']}) at {', '.join(values['sizes'])}"
    return Group(
        table(("check", "measured", "bound", "passed"), checks),
        notes([term for term in (f"run by {ran}", values["how_resized"]) if term]),
        verdict(values["passed"], "passed", "NOT passed"),
    )


def _measured(value: float | None) -> str:
    return "∞" if value is None else f"{value:.4g}"


def _evaluate(values: Values) -> RenderableType:
    images = values["images"]
    rows = [(image["name"], *_scores(image)) for image in images]
    rows.append((f"mean of {len(images)}", *_scores(values)))
    body = table((f"×{values['scale']}", "bicubic dB", "PSNR-Y dB", "SSIM-Y"), rows)
    body.rows[-2].end_section = True
    rgb = None
    if values["psnr_rgb_db"] is not None:
        means = values["clips_mean"] or values
        rgb = f"RGB, whole frames: {means['psnr_rgb_db']:.2f} dB, SSIM {means['ssim_rgb']:.4f}"
    terms = [
        rgb,
        f"LR luma {values['lr_y']}, {values['degradation']}, {values['runtime']}",
        values["how_resized"],
        values["t_consistency_note"],
    ]
    parts = [body, *([_clips(values)] if values["clips"] else [])]
    return Group(*parts, notes([term for term in terms if term]))


def _clips(values: Values) -> RenderableType:
    rows = [(clip["name"], clip["frames"], *_clip_scores(clip)) for clip in values["clips"]]
    rows.append((f"mean of {len(rows)}", None, *_clip_scores(values["clips_mean"])))
    columns = ("bicubic dB", "PSNR-Y dB", "first 5", "crop 8", "SSIM-Y", "tOF px")
    body = table(("clip", "frames", *columns), rows, "whole frames, mean a clip")
    body.rows[-2].end_section = True
    return body


def _clip_scores(values: Values) -> tuple[str | None, ...]:
    tof = values["t_consistency"]
    return (
        _db(values["bicubic_psnr_y_db"]),
        _db(values["psnr_y_db"]),
        _db(values["psnr_y_db_first"]),
        _db(values["psnr_y_db_crop8"]),
        f"{values['ssim_y']:.4f}",
        None if tof is None else f"{tof:.3f}",
    )


def _scores(values: Values) -> tuple[str, str, str]:
    return (
        _db(values["bicubic_psnr_y_db"]),
        _db(values["psnr_y_db"]),
        f"{values['ssim_y']:.4f}",
    )


def _upscale(values: Values) -> RenderableType:
    busy = ", ".join(f"{part} {values[f'{part}_seconds']:.2f}" for part in _STAGES)
    return facts(
        {
            "written": values["output"],
            "frames": values["frames"],
            "seconds": f"{values['seconds']:.2f} ({busy}, side by side)",
            "FPS": f"{values['fps']:.2f}",
            "net": f"{values['net']}, {values['runtime']}",
            "pixels": values["how"],
            "left out": ", ".join(values["dropped"]) or None,
            "scene cuts": values["cuts"],
        }
    )


def _demo(values: Values) -> RenderableType:
    return Group(
        facts(
            {
                "open": values["address"],
                "networks": ", ".join(values["nets"]),
                "phones": ", ".join(values["phones"]) or "none on adb",
            }
        ),
        notes(["the same address opens on each phone named here; Ctrl-C ends it"]),
    )


_VERBS: dict[str, Callable[[Values], RenderableType]] = {
    "list": _list,
    "train": _plain,
    "collapse": _collapse,
    "quantize": _quantize,
    "export": _export,
    "lint": lint_text,
    "verify": _verify,
    "evaluate": _evaluate,
    "profile": profile_text,
    "fit": fit_text,
    "calibrate": calibrate_text,
    "compare": compare_text,
    "report": report_text,
    "upscale": _upscale,
    "demo": _demo,
}
