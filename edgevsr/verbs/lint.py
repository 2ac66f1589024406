"""`edgevsr lint`: what in a file keeps it off a target's fast path, and how to mend it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edgevsr.errors import ExportError, SourceError
from edgevsr.exporters.lint import Finding, lint_view
from edgevsr.exporters.lint_view import view_of
from edgevsr.exporters.targets import load_target


@dataclass(frozen=True)
class LintReport:
    """The findings on one file for one target, errors first; `operators` counts the file's own.

    `precision` is "int8" where an operator computes in 8 bits, else "float".
    """

    file: Path
    target: str
    format: str
    precision: str
    operators: Mapping[str, int]
    findings: tuple[Finding, ...]
    source: str

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(finding.severity == "error" for finding in self.findings)

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return len(self.findings) - self.errors

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {
            "file": str(self.file),
            "target": self.target,
            "format": self.format,
            "precision": self.precision,
            "operators": dict(self.operators),
            "errors": self.errors,
            "warnings": self.warnings,
            "findings": [asdict(finding) for finding in self.findings],
            "source": self.source,
        }


def lint(file: str | Path, *, target: str) -> LintReport:
    """Return what in a .tflite or .onnx file, whoever wrote it, does not suit `target`.

    Raises:
        SourceError: the file is missing, damaged, or neither of the two.
        ExportError: there is no such target, or it reads the other format.
    """
    goal = load_target(target)
    path = Path(file)
    if not path.is_file():
        what = "is no regular file" if path.exists() else "no such file"
        raise SourceError(f"{path}: {what}; lint reads a .tflite or .onnx")
    view = view_of(path)
    if view.format != goal.format or goal.lint is None:
        raise ExportError(
            f"{path}: target {goal.name} runs .{goal.format} files; choose a target for "
            f".{view.format}: edgevsr list targets"
        )
    return LintReport(
        path,
        goal.name,
        view.format,
        "int8" if view.quantized else "float",
        dict(sorted(Counter(operator.name for operator in view.operators).items())),
        tuple(lint_view(view, goal, goal.lint)),
        goal.lint.source,
    )
