"""The command line and the Python functions are the same verbs with the same options."""

from __future__ import annotations

import argparse
import importlib
import inspect
import resource
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import edgevsr
from edgevsr import cli
from edgevsr.cli.parser import build_parser
from edgevsr.errors import DataError, GateMissedError


def verb_parsers() -> dict[str, argparse.ArgumentParser]:
    parser = build_parser()
    action = next(a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def options_of(verb: str) -> set[str]:
    return {action.dest for action in verb_parsers()[verb]._actions} - {"help", "as_json"}


def test_the_public_names_are_locked() -> None:
    assert set(edgevsr.__all__) == {
        "EdgeVsrError", "Stage", "VERBS", "__version__", "open_source",
        "list", "train", "collapse", "quantize", "export", "lint",
        "verify", "evaluate", "profile", "calibrate", "fit", "compare", "report", "upscale", "demo",
    }  # fmt: skip
    assert set(edgevsr.__all__) <= set(dir(edgevsr))
    for name in edgevsr.__all__:
        assert getattr(edgevsr, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'upscaler'"):
        _ = edgevsr.upscaler


def test_every_verb_is_a_command_and_a_function() -> None:
    assert tuple(verb_parsers()) == edgevsr.VERBS
    for verb in edgevsr.VERBS:
        assert inspect.isfunction(getattr(edgevsr, verb))


@pytest.mark.parametrize("verb", edgevsr.VERBS)
def test_flags_and_parameters_are_the_same(verb: str) -> None:
    function = getattr(edgevsr, verb)
    parameters = inspect.signature(function).parameters
    assert set(parameters) == options_of(verb)
    hints = get_type_hints(function)
    assert set(hints) == {*parameters, "return"}
    assert is_dataclass(hints["return"])
    assert hints["return"].__dataclass_params__.frozen
    assert callable(hints["return"].to_json)


@pytest.mark.parametrize("verb", edgevsr.VERBS)
def test_what_the_command_requires_the_function_requires(verb: str) -> None:
    needed = {
        action.dest
        for action in verb_parsers()[verb]._actions
        if action.required and action.dest not in ("help", "as_json")
    }
    parameters = inspect.signature(getattr(edgevsr, verb)).parameters.values()
    assert needed == {p.name for p in parameters if p.default is inspect.Parameter.empty}


def test_a_room_of_the_same_name_does_not_hide_its_verb() -> None:
    for verb in edgevsr.VERBS:
        try:
            room = importlib.import_module(f"edgevsr.{verb}")
        except ModuleNotFoundError:
            continue
        assert inspect.ismodule(room)
        assert inspect.isfunction(getattr(edgevsr, verb)), verb


def test_help_comes_within_the_time_of_a_keystroke() -> None:
    """In processor time, which others' load on the machine does not stretch."""
    command = [sys.executable, "-m", "edgevsr", "--help"]
    seconds = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) <= 0.4


class Result:
    def __init__(self, **values: Any) -> None:
        self.values = values

    def to_json(self) -> dict[str, Any]:
        return self.values


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Replace a verb by a function that returns or raises what a test wants."""

    def replace(verb: str, outcome: Any) -> None:
        def function(**options: Any) -> Any:
            del options
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setitem(vars(edgevsr), verb, function)

    return replace


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("outcome", "code", "words"),
    [
        (DataError("a.png: what\nand where"), 2, "a.png: what and where"),
        (GateMissedError("0.2 dB"), 1, "0.2 dB"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 2, "out of memory"),
        (OSError(28, "No space left on device", "out.mp4"), 2, "out.mp4: No space left on device"),
        (RuntimeError("surprise"), 2, "unexpected RuntimeError: surprise"),
    ],
)
def test_an_error_is_one_line_on_stderr(
    replaced: Any,
    capsys: pytest.CaptureFixture[str],
    outcome: BaseException,
    code: int,
    words: str,
) -> None:
    replaced("fit", outcome)
    arguments = ["fit", "--device", "D", "--size", "2x2", "--scale", "2", "--fps", "1", "--json"]
    got, out, err = run(capsys, *arguments)
    assert (got, out) == (code, "")
    assert err.startswith("edgevsr: error: ")
    assert words in err
    assert err.count("\n") == 1
    assert "Traceback" not in err


def test_a_fault_of_ours_shows_its_traceback_when_asked(
    replaced: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    replaced("list", ZeroDivisionError("ours"))
    monkeypatch.setenv("EDGEVSR_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        cli.main(["list", "nets"])


@pytest.mark.parametrize(
    ("arguments", "values", "code"),
    [
        ("verify a.tflite --against b", {"passed": True}, 0),
        ("verify a.tflite --against b", {"passed": False}, 1),
        ("lint a.tflite --target t", {"errors": 0}, 0),
        ("lint a.tflite --target t", {"errors": 1}, 1),
        ("profile a", {"met": None}, 0),
        ("profile a", {"met": True}, 0),
        ("profile a", {"met": False}, 1),
        ("profile a", {"met": True, "measured": [{"partial": True}]}, 1),
        ("fit --device D --size 2x2 --scale 2 --fps 1", {"fits": [{"net": "a"}]}, 0),
        ("fit --device D --size 2x2 --scale 2 --fps 1", {"fits": []}, 1),
    ],
)
def test_a_missed_gate_exits_with_1_and_still_prints(
    replaced: Any,
    capsys: pytest.CaptureFixture[str],
    arguments: str,
    values: dict[str, Any],
    code: int,
) -> None:
    import json

    replaced(arguments.split()[0], Result(**values))
    got, out, err = run(capsys, *arguments.split(), "--json")
    assert (got, err) == (code, "")
    assert json.loads(out) == values


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("", "VERB"),
        ("exprt", "did you mean 'export'"),
        ("list zo", "did you mean 'zoo'"),
        ("export a", "--target"),
        ("export a --target tflite --io int9", "did you mean 'int8'"),
        ("export a --target tflite --size 640", "WIDTHxHEIGHT"),
        ("export a --target tflite --size 0x3", "between 1 and 16384"),
        ("profile a --device D --on host", "not allowed with"),
        ("profile a --fps many", "invalid float"),
        ("collapse a b", "unrecognized arguments"),
        ("collapse a --forc", "unrecognized arguments"),
    ],
)
def test_wrong_use_is_one_line_and_exit_2(
    capsys: pytest.CaptureFixture[str], arguments: str, words: str
) -> None:
    code, out, err = run(capsys, *arguments.split())
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "edgevsr", "list", "nets", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait() == 0


def test_the_module_runs_as_the_command_does() -> None:
    run_ = subprocess.run(
        [sys.executable, "-m", "edgevsr", "--version"], capture_output=True, text=True, check=True
    )
    assert run_.stdout == f"edgevsr {edgevsr.__version__}\n"
    assert Path(edgevsr.__file__).name == "__init__.py"
