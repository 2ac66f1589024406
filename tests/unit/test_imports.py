"""Imports point one way: the table of docs/design.md, held to by reading every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import edgevsr

PACKAGE = Path(edgevsr.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

VOCABULARY = {"errors", "spec", "files", "progress", "cards"}
_READERS = {"runtime", "exporters", "graph", "data", "metrics"}
ANY_ROOM = {
    "graph", "data", "metrics", "nets", "training", "collapsing", "quantization", "exporters",
    "runtime",
    "clip_scores", "drift", "evaluation", "profiling", "video", "zoo", "sources",
    "reporting", "page_server", "motion", "alignment",
}  # fmt: skip

#: What each room may import of the others; the vocabulary, below, is everyone's.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": {"verbs", "sources"},
    "__main__": {"cli"},
    "cli": {"tables"},
    "tables": set(),
    "road": {"cli", "picture", "data", "zoo"},
    "picture": set(),
    "page_server": set(),
    "recipes": {"cli", "verbs", "evaluation"},
    "aims": set(),
    "shipping": {"cli", "aims", "card_scores"} | ANY_ROOM,
    "card_scores": {"clip_scores", "drift", "evaluation"} | _READERS,
    "verbs": ANY_ROOM,
    "sources": {"collapsing", "zoo", "graph", "safetensors_header"},
    "safetensors_header": set(),
    "zoo": set(),
    "training": {"nets", "data", "metrics", "motion", "graph", "collapsing", "quantization"},
    "collapsing": {"nets", "graph"},
    "nets": {"graph", "motion", "alignment"},
    "quantization": {"graph", "data", "metrics"},
    "exporters": {"graph"},
    "runtime": {"graph", "exporters", "motion", "alignment"},
    "evaluation": {"clip_scores"} | _READERS,
    "clip_scores": {"data", "metrics", "motion"},
    "drift": {"clip_scores", "evaluation"} | _READERS,
    "profiling": {"motion", "alignment"} | _READERS,
    "video": _READERS,
    "reporting": _READERS | {"evaluation", "profiling", "picture", "sources", "zoo"},
    "graph": {"motion", "alignment"},
    "data": set(),
    "metrics": set(),
    "motion": {"alignment"},
    "alignment": set(),
    "spec": set(),
    "files": set(),
    "cards": set(),
    "progress": set(),
    "errors": set(),
}  # fmt: skip

TORCH = {"torch", "torchvision", "accelerate", "safetensors"}
TORCH_ROOMS = {"nets", "training", "collapsing"}


def room_of(path: Path) -> str:
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path, *, executed: bool = False) -> Iterator[str]:
    """Yield the dotted names a module imports; `executed` leaves out those for types only."""
    tree = ast.parse(path.read_text("utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if executed and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= {child for statement in node.body for child in ast.walk(statement)}
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms_imported(path: Path) -> set[str]:
    """Return the rooms that a module reaches into, its own left out."""
    names = (name.split(".") for name in imports_of(path) if name.split(".")[0] == "edgevsr")
    rooms = {parts[1] for parts in names if len(parts) > 1}
    return rooms - {room_of(path), "__version__", "VERBS"}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_what_its_row_allows(path: Path) -> None:
    room = room_of(path)
    assert room in MAY_IMPORT, f"{room}: a new room needs its row here and in docs/design.md"
    allowed = MAY_IMPORT[room] | (VOCABULARY if room not in VOCABULARY else {"errors"})
    assert rooms_imported(path) <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_torch_stays_in_its_rooms(path: Path) -> None:
    packages = {name.split(".")[0] for name in imports_of(path, executed=True)}
    if room_of(path) not in TORCH_ROOMS:
        assert not packages & TORCH


def test_verbs_do_not_import_one_another() -> None:
    for path in (PACKAGE / "verbs").glob("*.py"):
        others = [name for name in imports_of(path) if name.startswith("edgevsr.verbs")]
        assert not others, f"{path.name}: {others}"


def test_the_reader_of_imports_sees_every_form(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        "import torch.nn as nn\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from accelerate import Accelerator\n"
        "def late():\n    from edgevsr.verbs.fit import fit\n"
    )
    assert {"torch.nn", "accelerate.Accelerator", "edgevsr.verbs.fit.fit"} <= {*imports_of(module)}
    assert "accelerate.Accelerator" not in {*imports_of(module, executed=True)}
