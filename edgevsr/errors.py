"""The exception tree: every error a user can cause, each with the way out.

An `EdgeVsrError` reads as one line: what is wrong, where, what was expected and what was found,
then the next command to try. The command line prints it without a traceback and exits with
`exit_code`.
"""

from __future__ import annotations

from collections.abc import Iterable


class EdgeVsrError(Exception):
    """Something the user can mend; `exit_code` is what the command line exits with."""

    exit_code = 2


class SpecError(EdgeVsrError):
    """A network, size, scale or option that does not exist or does not fit."""


class DataError(EdgeVsrError):
    """An image, video or folder that cannot be used."""


class SourceError(EdgeVsrError):
    """A SOURCE that is not a run, checkpoint, .onnx, .tflite or shipped name, or is damaged."""


class CollapseError(EdgeVsrError):
    """A wide network whose narrow form would not be the same function."""


class QuantizeError(EdgeVsrError):
    """A network or calibration set that cannot be quantized."""


class ExportError(EdgeVsrError):
    """A graph that the target cannot run; names the layer, the operator and the way out."""


class BudgetError(EdgeVsrError):
    """A device budget that is unknown or incomplete."""


class DeviceError(EdgeVsrError):
    """A runtime or device that is missing or failed."""


class OutputError(EdgeVsrError):
    """An output that exists already or cannot be written."""


class GateMissedError(EdgeVsrError):
    """A gate (quality drop, parity, budget) that was measured and missed."""

    exit_code = 1


def nearest(name: str, known: Iterable[str], cutoff: float = 0.4) -> str:
    """Return ' (did you mean X?)' for the known name closest to `name`, or an empty string.

    `cutoff` is how alike they must be, from 0 to 1.
    """
    import difflib  # only an error needs it

    match = difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)
    return f" (did you mean {match[0]!r}?)" if match else ""


def missing_extra(package: str, extra: str, what: str) -> EdgeVsrError:
    """Return the error that names the extra which brings `package`."""
    return EdgeVsrError(
        f"{what} needs {package}, which is not installed; run: pip install 'edgevsr[{extra}]'"
    )
