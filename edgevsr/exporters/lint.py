"""The linter: what in a file will cost quality or speed on a target, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from edgevsr.exporters.lint_facts import LintFacts, Severity
from edgevsr.exporters.lint_view import CONVERSIONS, FLOAT, INT8, LintOperator, LintTensor, LintView
from edgevsr.exporters.targets import Target

_TRANSPOSES = ("TRANSPOSE", "Transpose")
_PRELUS = ("PRELU", "PRelu")
_SAME_VALUES = (*CONVERSIONS, "RESHAPE", "Reshape", "IDENTITY", "Identity", "SQUEEZE", "Squeeze",
                "EXPAND_DIMS", "Unsqueeze")  # fmt: skip
_TIE = "quantize the float net here, which gives both ends of a state one scale: edgevsr quantize"


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong: where it stands, why it matters and how to mend it."""

    severity: Severity
    rule: str
    operator: str | None
    tensor: str | None
    why: str
    fix: str


def lint_view(view: LintView, target: Target, facts: LintFacts) -> list[Finding]:
    """Return every finding, errors first, else in the order of the file."""
    lint = _Linter(view, target, facts)
    findings = [finding for rule in _FILE_RULES for finding in rule(lint)]
    order = {"error": 0, "warning": 1}
    return sorted(findings, key=lambda finding: order[finding.severity])


class _Linter:
    def __init__(self, view: LintView, target: Target, facts: LintFacts) -> None:
        self.view, self.target, self.facts = view, target, facts
        self.producer = {key: each for each in view.operators for key in each.outputs}
        self.consumers: dict[str, list[LintOperator]] = {}
        for operator in view.operators:
            for key in dict.fromkeys(operator.inputs):
                self.consumers.setdefault(key, []).append(operator)

    def finding(
        self, rule: str, operator: str | None, key: str | None, why: str, fix: str
    ) -> Finding:
        tensor = None if key is None else self.view.tensors[key].name
        return Finding(self.facts.severity[rule], rule, operator, tensor, why, fix)

    def at(self, rule: str, operator: LintOperator, why: str, fix: str) -> Finding:
        """Return a finding on an operator, placed at what it makes."""
        made = operator.outputs[0] if operator.outputs else None
        return self.finding(rule, operator.name, made, why, fix)

    def known(self, precision: str) -> frozenset[str]:
        """Return the operators on the fast path in this precision."""
        return self.facts.float if precision == "float" else self.facts.int8

    def fix_of(self, operator: str) -> str:
        return self.facts.fix.get(operator, "use an operator that is there, or another target")

    def inner(self, key: str, direction: str) -> LintTensor:
        """Return the tensor that an end of the file is once its conversion is looked through."""
        if direction == "in":
            readers = self.consumers.get(key, [])
            if readers and all(each.name in CONVERSIONS for each in readers):
                return self.view.tensors[readers[0].outputs[0]]
        maker = self.producer.get(key)
        if direction == "out" and maker is not None and maker.name in CONVERSIONS:
            return self.view.tensors[maker.inputs[0]]
        return self.view.tensors[key]

    def origin(self, key: str) -> str:
        """Return the tensor whose values an output has, through operators that keep values."""
        seen = set()
        while key in self.producer and key not in seen:
            seen.add(key)
            operator = self.producer[key]
            if operator.name not in _SAME_VALUES or not operator.inputs:
                break
            key = operator.inputs[0]
        return key


def _operators(lint: _Linter) -> Iterator[Finding]:
    """Operators off the fast path; in a file of a precision the target has not, that alone."""
    view, facts = lint.view, lint.facts
    if not facts.float and not view.quantized:
        yield lint.finding(
            "float-file", None, None,
            f"the file is float, and {facts.where} runs int8 only: {facts.elsewhere}",
            "quantize the net first: edgevsr quantize SOURCE --calib FRAMES",
        )  # fmt: skip
        return
    for operator in view.operators:
        precision = view.precision(operator)
        known = lint.known(precision)
        if operator.name.startswith("custom ") or "." in operator.name:
            yield lint.at(
                "custom-operator", operator,
                "an operator of somebody's own, which the runtime runs only where it is built in",
                "convert the net without custom or Flex operators",
            )  # fmt: skip
        elif precision != "other" and not known & {operator.name, "*"}:
            yield from _off_path(lint, operator, precision)


def _off_path(lint: _Linter, operator: LintOperator, precision: str) -> Iterator[Finding]:
    if operator.name in _PRELUS and precision == "int8":
        return  # has a rule of its own
    yield lint.at(
        "operator", operator,
        f"not on {lint.facts.where} in {precision}: {lint.facts.elsewhere}",
        lint.fix_of(operator.name),
    )  # fmt: skip


def _prelus(lint: _Linter) -> Iterator[Finding]:
    """Slopes by channel in int8, where the target has no kernel for them or says what they cost."""
    off_path = f"not on {lint.facts.where} in int8: {lint.facts.elsewhere}"
    for operator in lint.view.operators:
        slopes = [lint.view.tensors[key] for key in operator.inputs[1:]]
        several = any(each.values is None or each.values > 1 for each in slopes)
        if operator.name not in _PRELUS or lint.view.precision(operator) != "int8":
            continue
        known = operator.name in lint.facts.int8
        why = lint.facts.why.get(operator.name) if known else off_path
        if why is not None and (several or not known):
            yield lint.at(
                "prelu-per-channel", operator, why,
                "train with one slope a layer or ReLU (edgevsr train --activation leaky or relu)",
            )  # fmt: skip


def _islands(lint: _Linter) -> Iterator[Finding]:
    """Float operators inside an int8 file."""
    why = "computes in float between int8 operators, with a conversion on each side"
    fix = "give the tensors on both sides a scale and zero point: edgevsr quantize"
    view = lint.view
    for operator in view.operators if view.quantized else ():
        if view.precision(operator) == "float" and operator.name not in CONVERSIONS:
            yield lint.at("float-island", operator, why, fix)


def _ends(lint: _Linter) -> Iterator[Finding]:
    """Conversions at the ends of an int8 file, where the target takes int8 frames."""
    view = lint.view
    if not view.quantized or "int8" not in lint.target.io:
        return
    for operator in view.operators:
        if operator.name not in CONVERSIONS or not operator.inputs or not operator.outputs:
            continue
        if operator.name not in lint.known(view.precision(operator)):
            continue  # said already: it is off the fast path as a whole
        before, after = view.tensors[operator.inputs[0]], view.tensors[operator.outputs[0]]
        at_start, at_end = operator.inputs[0] in view.inputs, operator.outputs[0] in view.outputs
        if not (at_start or at_end) or before.dtype == after.dtype:
            continue
        outer = before if at_start else after
        if outer.dtype == "int8":
            continue  # the border of a float island
        key = operator.inputs[0] if at_start else operator.outputs[0]
        yield lint.finding(
            "converted-end", operator.name, key,
            f"every value of this {'input' if at_start else 'output'} is converted "
            f"{'from' if at_start else 'to'} {outer.dtype} each frame",
            "export with --io int8: a code is pixel - 128",
        )  # fmt: skip


def _transposes(lint: _Linter) -> Iterator[Finding]:
    why = "moves every value and computes nothing, mostly left by a converter from NCHW"
    fix = "write the file from the float .onnx instead: edgevsr export"
    found = (each for each in lint.view.operators if each.name in _TRANSPOSES)
    return (lint.at("transpose", operator, why, fix) for operator in found)


def _outputs(lint: _Linter) -> Iterator[Finding]:
    """Outputs that are inputs unchanged, and outputs that are also read inside the file."""
    view = lint.view
    for key in view.outputs:
        if lint.origin(key) in view.inputs:
            yield lint.finding(
                "state-passed-through", None, key,
                "is an input unchanged; GPU delegates hand back other values for such an output",
                "drop the output and let the caller keep the frame, or compute it",
            )  # fmt: skip
        for operator in lint.consumers.get(key, [])[:1]:
            yield lint.finding(
                "output-consumed", operator.name, key,
                "is both emitted and read inside the file; GPU delegates overwrite such a tensor",
                "give the output a copy of its own: edgevsr export does",
            )  # fmt: skip


def _states(lint: _Linter) -> Iterator[Finding]:
    """States whose ends differ in scale or shape, or that have one end only."""
    view = lint.view
    made = {role: key for key, role in view.roles_out.items()}
    taken = {role: key for key, role in view.roles_in.items()}
    for role, key in taken.items():
        if role == "previous_frame" and "frame" in taken:
            yield from _tied(lint, taken["frame"], key, "in")
        if role == "previous_sr" and "sr" in made:
            yield from _tied(lint, made["sr"], key, "out", moved=True)
        if not role.startswith("state_in:"):
            continue
        partner = made.get(role.replace("state_in:", "state_out:"))
        if partner is None:
            yield lint.finding(
                "state-unpaired", None, key, "is a state that no output renews",
                "name the output that goes back into it state_out_K, K as in state_in_K",
            )  # fmt: skip
        else:
            yield from _tied(lint, partner, key, "out")
    for role, key in made.items():
        if role.startswith("state_out:") and role.replace("out", "in") not in taken:
            yield lint.finding(
                "state-unpaired", None, key, "is a state that no input takes",
                "name the input that it goes back into state_in_K, K as in state_out_K",
            )  # fmt: skip


def _tied(
    lint: _Linter, source: str, key: str, direction: str, moved: bool = False
) -> Iterator[Finding]:
    """Compare an input with the end whose codes it is fed, `moved` into another shape or not."""
    other, own = lint.inner(source, direction), lint.inner(key, "in")
    name = lint.view.tensors[source].name
    if own.shape and other.shape and own.shape != other.shape and not moved:
        yield lint.finding(
            "state-unpaired", None, key, f"is {_dims(own)}, fed from {name!r} of {_dims(other)}",
            "give both ends of a state one shape",
        )  # fmt: skip
    if own.dtype not in INT8 or other.dtype not in INT8:
        if {own.dtype, other.dtype} & set(INT8) and {own.dtype, other.dtype} & set(FLOAT):
            why = f"is {own.dtype}, fed from {name!r} of {other.dtype}"
            yield lint.finding("state-untied", None, key, why, _TIE)
    elif (own.dtype, own.scale, own.zero_point) != (other.dtype, other.scale, other.zero_point):
        why = (
            f"has scale {own.scale} and zero point {own.zero_point}, but is fed from {name!r} of "
            f"{other.scale} and {other.zero_point}, so its codes mean other values"
        )
        yield lint.finding("state-untied", None, key, why, _TIE)


def _shapes(lint: _Linter) -> Iterator[Finding]:
    """Open dimensions at the inputs, and tensors of more dimensions than the target has."""
    view, limit = lint.view, lint.facts.max_rank
    for key in view.inputs:
        tensor = view.tensors[key]
        if tensor.shape is None or None in tensor.shape:
            yield lint.finding(
                "dynamic-shape", None, key,
                f"is {_dims(tensor)}: a shape that opens at run time is planned anew each time, "
                "and compilers for NPUs and GPUs refuse it",
                "fix the frame size: edgevsr export --size WIDTHxHEIGHT",
            )  # fmt: skip
    for operator in view.operators if limit else ():
        for key in operator.outputs:
            tensor = view.tensors[key]
            if tensor.shape is not None and len(tensor.shape) > limit:
                yield lint.finding(
                    "rank", operator.name, key,
                    f"has {len(tensor.shape)} dimensions, {lint.facts.where} takes {limit}",
                    "write pixel shuffle as one DEPTH_TO_SPACE: edgevsr export",
                )  # fmt: skip


def _dims(tensor: LintTensor) -> str:
    if tensor.shape is None:
        return "of unknown shape"
    return "×".join("?" if size is None else str(size) for size in tensor.shape)


_FILE_RULES: tuple[Callable[[_Linter], Iterator[Finding]], ...] = (
    _operators, _prelus, _islands, _ends, _transposes, _outputs, _states, _shapes,
)  # fmt: skip
