"""What every test shares: the data beside the repository, and which skips are in order."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from tests.chromium import FLAGS as CHROMIUM_FLAGS
from tests.chromium import find as find_chromium

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"

#: What a machine may lack; any other skip fails the run.
ALLOWED_SKIPS = ("shared", "device", "gpu", "crosscheck", "browser", "page", "apk")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The data kept beside the repository."""
    if not (SHARED / "data").is_dir():
        pytest.skip("shared: no ../shared/data beside the repository")
    return SHARED


@pytest.fixture(scope="session")
def demo_page() -> Path:
    """The demo's page as make page builds it."""
    folder = ROOT / "android_demo" / "page"
    if not (folder / "index.html").is_file():
        pytest.skip("page: android_demo/page is not built (it needs npm); run: make page")
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium: the machine's, or the one that python -m tests.chromium brings."""
    from playwright.sync_api import sync_playwright

    chromium = find_chromium()
    if chromium is None:
        pytest.skip("browser: no Chromium here; run: python -m tests.chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium.path,
            args=list(CHROMIUM_FLAGS),
            env={**os.environ, **chromium.environment},
        )
        yield browser
        browser.close()


def pytest_configure() -> None:
    # A deadline would judge the machine's load, not the code.
    hypothesis.settings.register_profile("edgevsr", deadline=None)
    hypothesis.settings.load_profile("edgevsr")
    # A job started in the background ignores Ctrl-C, and so would every command under test.
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("shared") and not (SHARED / "data").is_dir():
        pytest.skip("shared: no ../shared/data beside the repository")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[pytest.TestReport]:
    return _refuse_other_skips((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[pytest.CollectReport]:
    return _refuse_other_skips((yield))


def _refuse_other_skips(report: Any) -> Any:
    """Turn a skip (or expected failure) into a failure unless the machine explains it."""
    if report.skipped:
        reason = getattr(report, "wasxfail", None) or report.longrepr[2].removeprefix("Skipped: ")
        if not reason.startswith(ALLOWED_SKIPS):
            report.outcome = "failed"
            report.longrepr = f"skipped for a reason that is not allowed: {reason}"
    return report
