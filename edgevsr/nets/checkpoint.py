"""A run's state in one safetensors file: weights, their average, Adam's moments, the step."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from edgevsr.errors import SourceError
from edgevsr.files import atomic_path
from edgevsr.nets.ops import Net
from edgevsr.nets.registry import build
from edgevsr.spec import NetSpec

#: The metadata key under which a checkpoint says what it is.
METADATA_KEY = "edgevsr"
_MAX_BYTES = 2 << 30


def save_checkpoint(path: Path, tensors: dict[str, Tensor], info: dict[str, Any]) -> None:
    """Write tensors and their description, whole or not at all.

    Raises:
        OutputError: the disk is full or not writable.
    """
    from safetensors.torch import save_file

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with atomic_path(path, force=True) as temporary:
        save_file(plain, temporary, metadata={METADATA_KEY: json.dumps(info)})


def save_net(path: Path, net: nn.Module, spec: NetSpec, info: dict[str, Any]) -> None:
    """Write only a net's weights, with its spec and provenance."""
    weights = {f"net.{name}": tensor for name, tensor in net.state_dict().items()}
    save_checkpoint(path, weights, {"spec": asdict(spec), **info})


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and description of a checkpoint.

    Raises:
        SourceError: the file is truncated, foreign, or not safetensors.
    """
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise SourceError(f"{path}: no such checkpoint; expected one of: edgevsr train")
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SourceError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, not a checkpoint")
        with safe_open(path, framework="pt") as file:
            info = json.loads((file.metadata() or {}).get(METADATA_KEY, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise SourceError(f"{path}: not a readable safetensors checkpoint ({error})") from error
    if not isinstance(info, dict) or "spec" not in info:
        raise SourceError(
            f"{path}: is not a checkpoint of edgevsr (its metadata names no network); "
            "expected one written by: edgevsr train"
        )
    return tensors, info


def load_net(path: Path) -> tuple[Net, dict[str, Any]]:
    """Return the wide network of a checkpoint (its averaged weights) and its description.

    Raises:
        SourceError: the file is damaged, or its weights do not fit or are not finite.
    """
    tensors, info = load_checkpoint(path)
    try:
        spec = NetSpec(**info["spec"])
        net = build(spec)
    except (TypeError, KeyError, ValueError) as error:
        raise SourceError(f"{path}: its description is damaged ({error})") from error
    prefix = "ema." if any(name.startswith("ema.") for name in tensors) else "net."
    weights = {name[4:]: value for name, value in tensors.items() if name.startswith(prefix)}
    load_weights(net, weights, path)
    return net, info


def load_weights(net: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    """Put `weights` into `net`, all of them or none.

    Raises:
        SourceError: names, shapes or types differ, or a value is not finite.
    """
    own = net.state_dict()
    missing, extra = sorted(own.keys() - weights.keys()), sorted(weights.keys() - own.keys())
    if missing or extra:
        raise SourceError(f"{path}: missing weights {missing[:4]}, unexpected {extra[:4]}")
    for name, value in weights.items():
        if value.shape != own[name].shape:
            raise SourceError(
                f"{path}: {name} has shape {tuple(value.shape)}, expected {tuple(own[name].shape)}"
            )
        if not torch.isfinite(value).all():
            raise SourceError(f"{path}: {name} holds values that are not finite (NaN or infinity)")
    net.load_state_dict({name: value.to(own[name].dtype) for name, value in weights.items()})
