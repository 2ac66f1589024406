"""Targets: what a runtime can run, read from the TOML files in export/, and lowering to it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Literal

from edgevsr.errors import ExportError, SpecError, nearest
from edgevsr.exporters.lint_facts import LintFacts, parse_lint
from edgevsr.exporters.rewrites import REWRITES, separate_outputs, split_prelu
from edgevsr.graph.ir import OPS, Graph, Node
from edgevsr.graph.normalise import drop_idle_clips

PACKAGE = "edgevsr.targets"
SCHEMA_VERSION = 1

Format = Literal["tflite", "onnx"]

_FORMATS = ("tflite", "onnx")
_PRECISIONS = ("float", "int8")
_IO = ("int8", "uint8", "float")
_PRELU_RULES = ("keep", "split", "refuse")
_OPERATORS = (*OPS, "depthwise_conv2d")


@dataclass(frozen=True)
class Target:
    """One runtime's abilities. `io` lists the image types it takes, the default first.

    `prelu` is what becomes of PReLU: "keep", "split" into relu(x) - slope · relu(-x), or
    "refuse". `way_out` says what to do about an operator that is not in `operators`; `lint` is what
    the linter knows of the file's own operators.
    """

    name: str
    summary: str
    format: Format
    precisions: tuple[str, ...]
    io: tuple[str, ...]
    operators: frozenset[str]
    rewrites: tuple[str, ...]
    prelu: str
    way_out: Mapping[str, str]
    lint: LintFacts | None = None


def target_names() -> list[str]:
    """Return the names of all targets, sorted."""
    files = resources.files(PACKAGE).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load_target(name: str) -> Target:
    """Return the target of this name.

    Raises:
        ExportError: there is none (the nearest name is suggested).
        SpecError: its file breaks the schema; the message names the line and the key.
    """
    names = target_names()
    if name not in names:
        raise ExportError(
            f"target {name!r}: no such target{nearest(name, names)}; see: edgevsr list targets"
        )
    text = resources.files(PACKAGE).joinpath(f"{name}.toml").read_text("utf-8")
    return parse_target(text, name)


def parse_target(text: str, name: str) -> Target:
    """Return the target that a TOML text describes.

    Raises:
        SpecError: the text is not TOML or breaks the schema.
    """
    where = f"export/{name}.toml"
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SpecError(f"{where}: {error}") from error
    reader = _Keys(text, where, values)
    version = reader.take("schema_version", int)
    if version != SCHEMA_VERSION:
        reader.fail("schema_version", f"expected {SCHEMA_VERSION}, got {version}")
    activations = reader.take("activations", dict)
    if set(activations) != {"prelu"}:
        reader.fail("activations", f"expected the one key prelu, got {sorted(activations)}")
    if activations["prelu"] not in _PRELU_RULES:
        reader.fail("prelu", f"expected one of {_PRELU_RULES}, got {activations['prelu']!r}")
    way_out = reader.take("way_out", dict)
    for key, text_out in way_out.items():
        if key not in _OPERATORS or not isinstance(text_out, str):
            reader.fail(key, f"expected an operator and what to do{nearest(key, _OPERATORS)}")
    target = Target(
        name=reader.take("name", str),
        summary=reader.take("summary", str),
        format=reader.choice("format", _FORMATS),
        precisions=reader.choices("precisions", _PRECISIONS),
        io=reader.choices("io", _IO),
        operators=frozenset(reader.choices("operators", _OPERATORS)),
        rewrites=reader.choices("rewrites", tuple(REWRITES), allow_empty=True),
        prelu=activations["prelu"],
        way_out=way_out,
        lint=parse_lint(reader.take_optional("lint", dict), where),
    )
    if target.name != name:
        reader.fail("name", f"expected {name!r}, the file's name, got {target.name!r}")
    reader.refuse_others()
    return target


class _Keys:
    """Takes keys out of a parsed TOML file and says on which line a wrong one stands."""

    def __init__(self, text: str, where: str, values: dict[str, Any]) -> None:
        self._lines, self._where, self._values = text.splitlines(), where, dict(values)

    def fail(self, key: str, text: str) -> None:
        pattern = re.compile(rf"\s*\[?\s*\"?{re.escape(key)}\"?\s*[=\]]")
        number = next((i for i, line in enumerate(self._lines, 1) if pattern.match(line)), None)
        line = f" line {number}:" if number else ""
        raise SpecError(f"{self._where}:{line} key {key!r}: {text}")

    def take(self, key: str, kind: type) -> Any:
        if key not in self._values:
            self.fail(key, "is missing")
        value = self._values.pop(key)
        if type(value) is not kind:
            self.fail(key, f"expected {kind.__name__}, got {value!r}")
        return value

    def take_optional(self, key: str, kind: type) -> Any:
        return self.take(key, kind) if key in self._values else None

    def choice(self, key: str, known: tuple[str, ...]) -> Any:
        value = self.take(key, str)
        if value not in known:
            self.fail(key, f"expected one of {list(known)}, got {value!r}{nearest(value, known)}")
        return value

    def choices(
        self, key: str, known: tuple[str, ...], allow_empty: bool = False
    ) -> tuple[str, ...]:
        values = self.take(key, list)
        for value in values:
            if value not in known:
                self.fail(key, f"unknown {value!r}{nearest(str(value), known)}")
        if not values and not allow_empty:
            self.fail(key, "is empty")
        if len(set(values)) != len(values):
            self.fail(key, "names something twice")
        return tuple(values)

    def refuse_others(self) -> None:
        for key in self._values:
            self.fail(key, "is not a key of the schema")


def lower(graph: Graph, target: Target | str) -> Graph:
    """Return the graph in operators that the target runs: the same function, code for code.

    Raises:
        ExportError: the target cannot run a layer or the precision; names the layer, the operator
            and the way out.
    """
    if isinstance(target, str):
        target = load_target(target)
    precision = "int8" if graph.quantized else "float"
    if precision not in target.precisions:
        raise ExportError(
            f"target {target.name} runs {' and '.join(target.precisions)} only, and this network "
            f"is {precision}; quantize it first: edgevsr quantize SOURCE --calib FRAMES, or export "
            "with --int8 --calib FRAMES"
        )
    graph = drop_idle_clips(graph)
    if target.prelu == "split":
        graph = split_prelu(graph)
    for rewrite in target.rewrites:
        graph = REWRITES[rewrite](graph)
    graph = separate_outputs(graph)
    for node in graph.nodes:
        _check_node(node, target)
    return graph


def _check_node(node: Node, target: Target) -> None:
    depthwise = node.op == "conv2d" and node.attrs.get("groups", 1) > 1
    operator = "depthwise_conv2d" if depthwise else node.op
    refused = node.op == "prelu" and target.prelu == "refuse"
    if operator in target.operators and not refused:
        return
    way_out = target.way_out.get(operator, "change the layer, or choose another target")
    raise ExportError(
        f"layer {node.name!r} ({operator}): target {target.name} does not run it; {way_out}"
    )
