"""The command line: arguments in, a verb called, its result printed, an exit code out."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import edgevsr
from edgevsr.cli.parser import build_parser
from edgevsr.errors import EdgeVsrError

DONE, GATE_MISSED, WRONG = 0, 1, 2
INTERRUPTED = 130

#: What makes a finished verb exit with 1: a gate that was measured and missed.
_GATES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "quantize": lambda result: result["drop_met"] is False,
    "lint": lambda result: result["errors"] > 0,
    "verify": lambda result: result["passed"] is False,
    "profile": lambda result: (
        result["met"] is False or any(each["partial"] for each in result.get("measured", ()))
    ),
    "fit": lambda result: not result["fits"],
    "compare": lambda result: result["met"] is False,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; errors become one line on stderr."""
    return guarded(lambda: _run(build_parser().parse_args(argv)))


def guarded(action: Callable[[], int]) -> int:
    """Return what `action` returns, or the exit code of its error after one line on stderr."""
    try:
        return action()
    except EdgeVsrError as error:
        return _fail(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _fail("interrupted; nothing half-written was left", INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output has gone: keep the interpreter's last flush quiet too.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except MemoryError:
        return _fail("out of memory; use smaller frames or fewer at a time", WRONG)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        return _fail(f"{place}{error.strerror or error}", WRONG)
    except Exception as error:
        if os.environ.get("EDGEVSR_TRACEBACK") == "1":
            raise
        return _fail(
            f"unexpected {type(error).__name__}: {error}; this is a fault of edgevsr: run again "
            "with EDGEVSR_TRACEBACK=1 and report what it prints",
            WRONG,
        )


def entry() -> NoReturn:
    """Run the command of this process and exit with its code."""
    if not sys.warnoptions:
        warnings.simplefilter("ignore")  # a library's deprecations are not the user's to mend
    signal.signal(signal.SIGTERM, _terminate)
    sys.exit(main())


def _run(arguments: argparse.Namespace) -> int:
    options = vars(arguments)
    verb, as_json = options.pop("verb"), options.pop("as_json")
    result = getattr(edgevsr, verb)(**options)
    values = result.to_json()
    if as_json:
        import json

        print(json.dumps(values, indent=2, allow_nan=False))
    else:
        from edgevsr.cli.printing import print_result

        print_result(verb, values)
    sys.stdout.flush()
    if hasattr(result, "wait"):  # what it started goes on until Ctrl-C
        result.wait()
    gate = _GATES.get(verb)
    return GATE_MISSED if gate and gate(values) else DONE


def _fail(message: str, code: int) -> int:
    print("edgevsr: error:", " ".join(message.split()), file=sys.stderr)
    return code


def _terminate(*_: object) -> NoReturn:
    """Unwind on SIGTERM as on Ctrl-C, so that temporary files go."""
    raise KeyboardInterrupt
