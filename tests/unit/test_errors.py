"""Every error is one line with a way out, and has its exit code."""

from __future__ import annotations

import inspect

import pytest

from edgevsr import errors

CLASSES = [
    value
    for _, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, errors.EdgeVsrError)
]


@pytest.mark.parametrize("error", CLASSES)
def test_only_a_missed_gate_exits_with_1(error: type[errors.EdgeVsrError]) -> None:
    assert error.exit_code == (1 if error is errors.GateMissedError else 2)
    assert error.__doc__


def test_nearest_names_the_likely_one_and_stays_silent_on_nonsense() -> None:
    assert errors.nearest("ethos-n87", ["ethos-n78", "rk3588"]) == " (did you mean 'ethos-n78'?)"
    assert errors.nearest("zzzz", ["ethos-n78", "rk3588"]) == ""


def test_a_missing_package_names_the_extra_that_brings_it() -> None:
    error = errors.missing_extra("torch", "train", "edgevsr collapse")
    assert "edgevsr collapse needs torch" in str(error)
    assert "pip install 'edgevsr[train]'" in str(error)
