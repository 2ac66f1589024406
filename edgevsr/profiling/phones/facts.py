"""What a phone says of itself: model, SoC, clocks, and how warm it is."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from edgevsr.profiling.measured import MeasuredDevice
from edgevsr.profiling.phones.adb import Phone
from edgevsr.profiling.phones.text import clean, slug

_PROPERTIES = (
    "ro.product.manufacturer",
    "ro.product.model",
    "ro.soc.manufacturer",
    "ro.soc.model",
    "ro.board.platform",
    "ro.build.version.release",
    "ro.product.cpu.abi",
    "ro.product.cpu.abilist",
)
_COMMANDS = {
    **{name: f"getprop {name}" for name in _PROPERTIES},
    "cores": "nproc || grep -c ^processor /proc/cpuinfo",
    "governors": "cat /sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_governor",
}
_HEAT_COMMANDS = {
    "zones": (
        'for z in /sys/class/thermal/thermal_zone*; do echo "$(cat $z/temp) $(cat $z/type)"; done'
    ),
    "service": "dumpsys thermalservice",
}

#: Zones that tell how warm the computing parts are; batteries and chargers lag far behind.
_COMPUTE_ZONE = re.compile(r"cpu|gpu|npu|apu|tpu|dsp|soc|skin|tsens|big|little|mid", re.IGNORECASE)
_SANE_CELSIUS = (1.0, 130.0)
_MAX_ZONES = 200


@dataclass(frozen=True)
class Heat:
    """Degrees by thermal zone, and the phone's own throttling status (0 none … 6 shutdown)."""

    celsius: Mapping[str, float]
    status: int | None

    @property
    def hottest(self) -> float | None:
        """The warmest computing part in °C, or None where the phone does not say."""
        return max(
            (c for zone, c in self.celsius.items() if _COMPUTE_ZONE.search(zone)), default=None
        )


@dataclass(frozen=True)
class Facts:
    """The device as a measurement names it, and the ABIs that its programs may have."""

    device: MeasuredDevice
    abis: tuple[str, ...]


def read_facts(phone: Phone) -> Facts:
    """Return what a phone says of itself; what it does not say, or says absurdly, is None.

    Raises:
        DisconnectedError: the phone went away.
        HungError: it does not answer.
    """
    return facts_from(
        _ask(phone, _COMMANDS, "reading its facts"),
        hashlib.sha256(phone.serial.encode()).hexdigest()[:12],
    )


def facts_from(said: Mapping[str, str], serial_hash: str | None) -> Facts:
    """Return the facts in what a phone said of each property, of "cores" and of "governors"."""

    def told(key: str) -> str | None:
        return clean(said.get(key, "")) or None

    model = " ".join(filter(None, (told("ro.product.manufacturer"), told("ro.product.model"))))
    soc = " ".join(filter(None, (told("ro.soc.manufacturer"), told("ro.soc.model"))))
    governors = sorted({clean(line, 40) for line in said.get("governors", "").splitlines()} - {""})
    cores = (told("cores") or "").partition(" ")[0]
    device = MeasuredDevice(
        name=slug(told("ro.product.model"), told("ro.soc.model") or told("ro.board.platform")),
        model=clean(model) or None,
        soc=clean(soc) or told("ro.board.platform"),
        android=told("ro.build.version.release"),
        abi=told("ro.product.cpu.abi"),
        cores=int(cores) if re.fullmatch(r"[1-9]\d{0,2}", cores, re.ASCII) else None,
        governor=clean(", ".join(governors)) or None,
        serial_hash=serial_hash,
    )
    abis = told("ro.product.cpu.abilist") or device.abi or ""
    return Facts(device, tuple(filter(None, abis.split(","))))


def read_heat(phone: Phone) -> Heat:
    """Return how warm the phone is: its thermal zones, or where those are closed its service.

    Raises:
        DisconnectedError: the phone went away.
        HungError: it does not answer.
    """
    said = _ask(phone, _HEAT_COMMANDS, "reading its temperatures")
    return heat_from(said["zones"], said["service"])


def heat_from(zones: str, service: str) -> Heat:
    """Return the heat in lines of "thousandths zone", else in what the thermal service dumps."""
    celsius: dict[str, float] = {}
    for line in zones.splitlines()[:_MAX_ZONES]:
        number, _, zone = line.partition(" ")
        _add(celsius, zone, number)
    if not celsius:
        readings = re.findall(r"mValue=(-?[\d.]{1,10}),.{0,40}?mName=([^,}]{1,80})", service)
        for number, zone in readings[:_MAX_ZONES]:
            _add(celsius, zone, number)
    status = re.search(r"Thermal Status: (\d)\b", service)
    return Heat(celsius, int(status[1]) if status else None)


def _ask(phone: Phone, commands: Mapping[str, str], what: str) -> dict[str, str]:
    """Run several commands in one call; what each prints is told apart by a random line."""
    mark = f"mark-{secrets.token_hex(8)}"
    script = "\n".join(f"echo; echo {mark}\n{command} 2>/dev/null" for command in commands.values())
    sections = phone.shell(script, what=what).stdout.split(f"\n{mark}\n")[1:]
    return dict(zip(commands, [*sections, *[""] * len(commands)], strict=False))


def _add(celsius: dict[str, float], zone: str, number: str) -> None:
    """Note a reading, given in degrees or thousandths of one; sensors that are off say nonsense."""
    if not re.fullmatch(r"-?\d{1,8}(\.\d{1,8})?", number.strip(), re.ASCII):
        return
    value = float(number)
    value = value / 1000 if abs(value) >= 1000 else value
    low, high = _SANE_CELSIUS
    if low <= value <= high and (name := clean(zone, 60)):
        celsius[name] = max(value, celsius.get(name, value))
