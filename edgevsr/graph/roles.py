"""What each input and output of a file is for, from what the file says or from its names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from edgevsr.errors import ExportError, SourceError
from edgevsr.graph.ir import Graph

METADATA_KEY = "edgevsr"

_MAX_METADATA_BYTES = 1 << 20
_ROLE = re.compile(r"frame|previous_frame|previous_sr|sr|state_(in|out):\d{1,3}")
_STATE_NAME = re.compile(r"(?:.*[^a-z])?state_(in|out)(?:[^a-z0-9]?(\d{1,3}))?(?:[^a-z0-9].*)?")
_WAY_OUT = (
    "name inputs frame, previous_frame, previous_sr, state_in_0 …, and outputs sr, state_out_0 … "
    "(torch.onnx.export: input_names, output_names)"
)


def parse_metadata(text: str | bytes) -> dict[str, Any]:
    """Return the metadata that a file of ours carries, or nothing where it is not readable."""
    if len(text) > _MAX_METADATA_BYTES:
        return {}
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def metadata_text(graph: Graph) -> str:
    """Return what a file of ours carries: provenance and roles, as JSON with sorted keys.

    `meta["io"]` is left out: it says how a file's ends were, not what the network is.

    Raises:
        ExportError: the provenance holds something that JSON has no form for.
    """
    meta = {key: value for key, value in graph.meta.items() if key != "io"}
    try:
        return json.dumps({**meta, "roles": dict(graph.roles)}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ExportError(f"the graph's metadata cannot be written as JSON: {error}") from error


def with_roles(graph: Graph, metadata: Mapping[str, Any], where: str) -> Graph:
    """Return the graph with roles, scale and colour settled; its own roles are disregarded.

    Roles come from the metadata, else from there being one input and one output, else from the
    tensors' names. Scale and colour are those that the graph shows.

    Raises:
        SourceError: roles cannot be told, a state has no partner of its shape, or the SR frame is
            not a whole multiple of the LR frame.
    """
    declared = metadata.get("roles")
    roles = _declared_roles(graph, declared if isinstance(declared, dict) else {})
    graph = replace(graph, roles=roles or _named_roles(graph, where))
    _check(graph, where)
    meta = {key: value for key, value in metadata.items() if key != "roles"}
    colour = {1: "y", 3: "rgb"}.get(graph.channels)
    meta |= {"scale": graph.scale} | ({"colour": colour} if colour else {})
    return replace(graph, meta=meta)


def _declared_roles(graph: Graph, declared: Mapping[str, Any]) -> dict[str, str]:
    names = (*graph.inputs, *graph.outputs)
    roles = {name: str(declared[name]) for name in names if name in declared}
    complete = len(roles) == len(names) and all(map(_ROLE.fullmatch, roles.values()))
    return roles if complete else {}


def _named_roles(graph: Graph, where: str) -> dict[str, str]:
    inputs = _roles_of(graph.inputs, "frame", "in")
    outputs = _roles_of(graph.outputs, "sr", "out")
    for kind, names, roles in (("input", graph.inputs, inputs), ("output", graph.outputs, outputs)):
        if len(set(roles.values())) != len(names):
            listed = ", ".join(repr(name) for name in names)
            raise SourceError(
                f"{where}: cannot tell the roles of the {len(names)} {kind}s {listed}; {_WAY_OUT}"
            )
    return {**inputs, **outputs}


def roles_by_name(
    inputs: Sequence[str], outputs: Sequence[str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the roles that names alone tell, of inputs and of outputs; nothing is checked."""
    return _roles_of(inputs, "frame", "in"), _roles_of(outputs, "sr", "out")


def _roles_of(names: Sequence[str], main: str, direction: str) -> dict[str, str]:
    if len(names) == 1:
        return {names[0]: main}
    roles = {}
    for name in names:
        match = _STATE_NAME.fullmatch(name.lower())
        if match and match[1] == direction:
            roles[name] = f"state_{direction}:{int(match[2] or 0)}"
        elif direction == "in" and "prev" in name.lower():
            roles[name] = "previous_sr" if "sr" in name.lower() else "previous_frame"
        else:
            roles[name] = main
    return roles


def _check(graph: Graph, where: str) -> None:
    taken = sorted(graph.roles.values())
    if taken.count("frame") != 1 or taken.count("sr") != 1 or len(set(taken)) != len(taken):
        raise SourceError(
            f"{where}: expected one input with role frame and one output with role sr, got "
            f"{', '.join(taken)}; {_WAY_OUT}"
        )
    frame, sr = graph.tensors[graph.input_of("frame")], graph.tensors[graph.output_of("sr")]
    numerator, denominator = sr.factor
    if numerator % denominator or sr.channels != frame.channels:
        raise SourceError(
            f"{where}: the SR frame must be the LR frame times a whole number, with as many "
            f"channels; got {numerator}/{denominator} and {sr.channels} channels for "
            f"{frame.channels}"
        )
    for name in graph.inputs:
        wanted = replace(frame, channels=frame.channels * (numerator // denominator) ** 2)
        if graph.roles[name] == "previous_sr" and graph.tensors[name] != wanted:
            raise SourceError(
                f"{where}: input {name!r} takes the previous SR frame at LR size, scale² times the "
                f"channels: expected {wanted.channels}, got {graph.tensors[name].channels}"
            )
        _, _, index = graph.roles[name].partition("state_in:")
        partners = [out for out in graph.outputs if graph.roles[out] == f"state_out:{index}"]
        if index and (not partners or graph.tensors[partners[0]] != graph.tensors[name]):
            raise SourceError(
                f"{where}: state input {name!r} has no state output of the same shape; {_WAY_OUT}"
            )
    states = [role for role in taken if role.startswith("state_")]
    if 2 * sum(role.startswith("state_in") for role in states) != len(states):
        raise SourceError(f"{where}: a state output has no state input; {_WAY_OUT}")
