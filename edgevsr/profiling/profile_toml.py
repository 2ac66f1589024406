"""Writes a device profile: TOML that `devices.parse_device` reads back to the same device."""

from __future__ import annotations

import json

from edgevsr.profiling.devices import Device


def profile_toml(device: Device) -> str:
    """Return a profile as TOML, in the order of its facts; the device's name is not in it."""
    texts = {"notes": device.notes, "unpublished": device.unpublished}
    lines = [f"title = {_value(device.title)}"]
    lines += [f"{key} = {_value(text)}" for key, text in texts.items() if text]
    for key, fact in device.facts.items():
        lines += ["", f"[{key}]", *(f"{part} = {_value(v)}" for part, v in fact.to_json().items())]
    if device.calibration is not None:
        record = device.calibration.to_json()
        across = record.pop("cross_scale_mape")
        lines += ["", "[calibration]", *(f"{key} = {_value(v)}" for key, v in record.items())]
        inline = ", ".join(f"{_value(key)} = {_value(v)}" for key, v in across.items())
        lines.append(f"cross_scale_mape = {{ {inline} }}" if inline else "cross_scale_mape = {}")
    return "\n".join(lines) + "\n"


def _value(value: object) -> str:
    # JSON's text, numbers, booleans and arrays are TOML's too, but for DEL, which JSON leaves bare.
    return json.dumps(value, ensure_ascii=False, allow_nan=False).replace("\x7f", "\\u007f")
