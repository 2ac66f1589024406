"""Published checkpoints into reference networks, and a clear word where they do not fit."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from edgevsr.errors import SourceError
from edgevsr.nets.checkpoint import load_weights
from edgevsr.nets.references.base import Reference
from edgevsr.nets.references.catalogue import SYSTEMS, System, find_system
from edgevsr.nets.references.public_names import renamed, unwrapped

_MAX_BYTES = 2 << 30
_CONTAINERS = ("params_ema", "params", "state_dict", "model_state_dict", "model", "net")
_SHOWN = 4
_PLAIN = ("normal_", "uniform_", "zero_", "fill_", "mul_", "zeros_", "ones_")
_DRAWING = {*_PLAIN, "kaiming_uniform_", "kaiming_normal_"}


def build_reference(name: str) -> Reference:
    """Return an untrained reference network.

    Raises:
        SpecError: no reference of that name.
    """
    system = find_system(name)
    module, kind = system.home.split(":")
    net: Reference = getattr(import_module(f"edgevsr.nets.references.{module}"), kind)(
        **system.options
    )
    return net


def build_shapes(name: str) -> Reference:
    """Return a reference network of shapes without values, on torch's meta device.

    Raises:
        SpecError: no reference of that name.
    """
    with torch.device("meta"), _Undrawn():
        return build_reference(name).eval()


class _Undrawn(TorchFunctionMode):
    """Leaves out the drawing of initial weights, which takes long even where there are none."""

    def __torch_function__(
        self, func: Any, types: Iterable[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _DRAWING:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def load_reference(name: str, weights: str | Path) -> Reference:
    """Return a reference network with a published checkpoint's weights, ready to run.

    `weights` is a .pth as torch saves it (read without unpickling objects) or a .safetensors, with
    the names of BasicSR, mmagic or the authors.

    Raises:
        SpecError: no reference of that name.
        SourceError: the file is missing, damaged or holds objects, or its weights are of another
            architecture, size or scale; the nearest that fits is named.
    """
    system, path = find_system(name), Path(weights)
    given = unwrapped(read_weights(path))
    net = build_reference(system.name)
    own = net.state_dict()
    fitted = renamed(given, _module(system))
    # Batch normalisation counts its batches; many files leave that out, and nothing reads it.
    counters = {key: value for key, value in own.items() if key.endswith("num_batches_tracked")}
    fitted = counters | fitted
    _check_fit(path, system, _shapes(own), _shapes(fitted), given)
    load_weights(net, fitted, path)
    return net.eval()


def read_weights(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checkpoint by the names it gives them.

    Raises:
        SourceError: the file is missing, too large, damaged, or holds more than tensors.
    """
    if not path.is_file():
        raise SourceError(f"{path}: no such checkpoint; give --weights a .pth or .safetensors file")
    if max(path.stat().st_size, _unpacked_bytes(path)) > _MAX_BYTES:
        raise SourceError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, not a checkpoint of these")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = _trained_here(load_file(path))
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise SourceError(
            f"{path}: holds Python objects or is damaged, and is not unpickled; save only the "
            "network's state_dict() where you trust the file, then run again"
        ) from error
    except Exception as error:  # readers of foreign files raise many kinds
        reason = " ".join(str(error).split())[:120] or "empty, or cut short"
        raise SourceError(f"{path}: not a readable checkpoint ({reason})") from error
    tensors = _tensors(content)
    if not tensors:
        raise SourceError(f"{path}: holds no named tensors; expected a network's state_dict")
    return tensors


def _trained_here(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the averaged network of a run of this project; other files' tensors as they are."""
    own = "ema.reference."
    averaged = {name.removeprefix(own): x for name, x in tensors.items() if name.startswith(own)}
    return averaged or tensors


def _unpacked_bytes(path: Path) -> int:
    """Return what a zipped checkpoint says it unpacks to."""
    if not zipfile.is_zipfile(path):
        return 0
    with zipfile.ZipFile(path) as archive:
        return sum(entry.file_size for entry in archive.infolist())


def _tensors(content: Any) -> dict[str, Tensor]:
    if not isinstance(content, Mapping):
        return {}
    for key in _CONTAINERS:
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


Shapes = Mapping[str, tuple[int, ...]]


def _check_fit(
    path: Path, system: System, own: Shapes, fitted: Shapes, given: Mapping[str, Tensor]
) -> None:
    missing, unexpected = sorted(own.keys() - fitted.keys()), sorted(fitted.keys() - own.keys())
    reshaped = [name for name in own if name in fitted and own[name] != fitted[name]]
    if not (missing or unexpected or reshaped):
        return
    found = []
    if reshaped:
        name = reshaped[0]
        found.append(
            f"{len(reshaped)} of another size ({name} is {fitted[name]}, expected {own[name]})"
        )
    found += [
        f"{len(names)} {kind} ({_listed(names)})"
        for kind, names in (("missing", missing), ("unexpected", unexpected))
        if names
    ]
    raise SourceError(
        f"{path}: its weights do not fit {system.name} at x4: {'; '.join(found)}. "
        f"{_nearest_fit(given, system)}"
    )


def _nearest_fit(given: Mapping[str, Tensor], asked: System) -> str:
    """Return a sentence that names the system most of whose weights the file holds."""
    best, best_share, whole = asked, 0.0, False
    for system in SYSTEMS.values():
        own = _shapes(build_shapes(system.name).state_dict())
        fitted = _shapes(renamed(given, _module(system)))
        names = {name for name in own if not name.endswith("num_batches_tracked")}
        same = sum(fitted.get(name) == own[name] for name in names)
        share = same / max(len(names | fitted.keys()), 1)
        if share > best_share:
            best, best_share, whole = system, share, share == 1.0
    if whole:
        return f"It is a checkpoint of {best.name}: give that name"
    if best_share < 0.1:
        return "No system here is near it: run: edgevsr list references"
    return (
        f"The nearest is {best.name}, of which {best_share:.0%} fits: another size or scale of it "
        "is not supported"
    )


def _module(system: System) -> str:
    return system.home.split(":")[0]


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in weights.items()}


def _listed(names: list[str]) -> str:
    more = f", … {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
