"""Several phones at once, each in a thread of its own, all ended by one Ctrl-C."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from edgevsr.profiling.measured import Measured
from edgevsr.profiling.phones.adb import Adb
from edgevsr.profiling.phones.session import Request, measure_phone
from edgevsr.progress import progress


def measure_phones(adb: Adb, serials: Sequence[str], request: Request) -> list[Measured]:
    """Return one measurement a phone, in the order of `serials`.

    On Ctrl-C every phone is cleaned up and what it measured until then comes back, partial;
    `adb.stop` is then set, and the caller raises KeyboardInterrupt once that is written.
    """
    version = adb.version()
    with (
        progress("measure", total=len(serials)) as bar,
        ThreadPoolExecutor(len(serials), "phone") as pool,
    ):

        def measure(serial: str) -> Measured:
            def tell(note: str) -> None:
                bar.advance(0, f"{serial}: {note}")

            measured = measure_phone(adb.phone(serial), request, version, tell)
            bar.advance(1)
            return measured

        futures = [pool.submit(measure, serial) for serial in serials]
        try:
            wait(futures)
        except KeyboardInterrupt:
            adb.stop.set()
            wait(futures)
        return [future.result() for future in futures]
