"""Train, collapse, quantize, export and profile video super-resolution for phones and NPUs.

Every verb of the command line is a function here, with the command's flags as keyword arguments:
`edgevsr.quantize("sesr-m5-x2", calib="frames/")` is `edgevsr quantize sesr-m5-x2 --calib frames/`.
A verb is imported when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from edgevsr.errors import EdgeVsrError

if TYPE_CHECKING:
    from edgevsr.sources import Stage as Stage
    from edgevsr.sources import open_source as open_source
    from edgevsr.verbs.calibrate import calibrate as calibrate
    from edgevsr.verbs.collapse import collapse as collapse
    from edgevsr.verbs.compare import compare as compare
    from edgevsr.verbs.demo import demo as demo
    from edgevsr.verbs.evaluate import evaluate as evaluate
    from edgevsr.verbs.export import export as export
    from edgevsr.verbs.fit import fit as fit
    from edgevsr.verbs.lint import lint as lint
    from edgevsr.verbs.list import list_kind as list  # noqa: A004 - the verb's name is list
    from edgevsr.verbs.profile import profile as profile
    from edgevsr.verbs.quantize import quantize as quantize
    from edgevsr.verbs.report import report as report
    from edgevsr.verbs.train import train as train
    from edgevsr.verbs.upscale import upscale as upscale
    from edgevsr.verbs.verify import verify as verify

__version__ = "0.1.0"

__all__ = [
    "VERBS",
    "EdgeVsrError",
    "Stage",
    "__version__",
    "calibrate",
    "collapse",
    "compare",
    "demo",
    "evaluate",
    "export",
    "fit",
    "lint",
    "list",
    "open_source",
    "profile",
    "quantize",
    "report",
    "train",
    "upscale",
    "verify",
]

#: The commands, in the order of the road.
VERBS = (
    "list",
    "train",
    "collapse",
    "quantize",
    "export",
    "lint",
    "verify",
    "evaluate",
    "profile",
    "calibrate",
    "fit",
    "compare",
    "report",
    "upscale",
    "demo",
)

_HOMES = {
    **{verb: (f"edgevsr.verbs.{verb}", verb) for verb in VERBS},
    "list": ("edgevsr.verbs.list", "list_kind"),
    "Stage": ("edgevsr.sources", "Stage"),
    "open_source": ("edgevsr.sources", "open_source"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(module), attribute)
    globals()[name] = value
    return value


def __dir__() -> Iterable[str]:
    return sorted({*globals(), *__all__})
