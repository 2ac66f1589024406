"""The systems that the survey of video super-resolution compares, to count, load, run and teach."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgevsr.errors import SpecError, missing_extra, nearest
from edgevsr.nets.references.catalogue import SYSTEMS, is_reference

if TYPE_CHECKING:
    from edgevsr.nets.references.clip_model import ClipModel
    from edgevsr.nets.references.loading import build_reference as build_reference
    from edgevsr.nets.references.loading import load_reference as load_reference
    from edgevsr.nets.references.running import run_clip as run_clip

_HOMES = {
    "build_reference": "loading",
    "load_reference": "loading",
    "run_clip": "running",
}

__all__ = [
    "build_reference",
    "load_reference",
    "open_clip_model",
    "refuse_for_references",
    "run_clip",
]


def open_clip_model(
    source: str | Path, weights: str | Path | None, threads: int | None = None
) -> ClipModel | None:
    """Return the reference that `source` names with its weights, or None if it names none.

    Raises:
        SpecError: a reference without weights, or weights for something else.
        SourceError: the weights do not fit or are damaged.
        EdgeVsrError: torch is not installed.
    """
    if not is_reference(str(source)):
        if weights is not None:
            raise SpecError(
                f"--weights {weights}: {source} is no reference{nearest(str(source), SYSTEMS)}; "
                "weights are for the names of: edgevsr list references"
            )
        return None
    if weights is None:
        raise SpecError(
            f"{source}: nothing is shipped for it; give its published checkpoint with --weights"
        )
    try:
        from edgevsr.nets.references.clip_model import ClipModel
    except ModuleNotFoundError as error:
        raise missing_extra("torch", "train", f"running {source}") from error
    return ClipModel(str(source), weights, threads)


def refuse_for_references(name: str | Path, options: Mapping[str, object]) -> None:
    """Refuse the options, of those given by flag and value, that a reference cannot follow.

    Raises:
        SpecError: one is set; it is named.
    """
    given = [flag for flag, value in options.items() if value]
    if given:
        raise SpecError(
            f"{name}: a reference runs in torch over whole clips; leave out {', '.join(given)}"
        )


def __getattr__(name: str) -> Any:
    # The catalogue is read where torch is not installed, so torch comes with the first use.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
