"""Decode, net and encode at the same time: three threads with short queues between them.

The queues bound the memory whatever the length of the video; the first error stops all three.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

A = TypeVar("A")
B = TypeVar("B")

_DEPTH = 4
_WATCH_SECONDS = 0.1


@dataclass(frozen=True)
class LaneSeconds:
    """Wall seconds that each thread worked, its waiting left out."""

    decode: float
    net: float
    encode: float


class _StoppedError(Exception):
    """Another thread failed; this one ends quietly."""


class _Queue(Generic[A]):
    """A bounded queue of one writer and one reader that can end or be stopped."""

    def __init__(self, depth: int) -> None:
        self._items: deque[A] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._ended = self._stopped = False

    def put(self, item: A) -> None:
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._stopped)
            if self._stopped:
                raise _StoppedError
            self._items.append(item)
            self._changed.notify_all()

    def end(self) -> None:
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[A]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended or self._stopped)
                if self._stopped:
                    raise _StoppedError
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item


class _Lane(threading.Thread):
    """One thread of the three: takes items, works on each, passes the result on."""

    def __init__(self, name: str, work: Callable[[_Lane], None], failed: Callable[[], None]):
        super().__init__(name=f"edgevsr-{name}", daemon=True)
        self._work, self._failed = work, failed
        self.error: BaseException | None = None
        self.seconds = 0.0

    def run(self) -> None:
        try:
            self._work(self)
        except _StoppedError:
            pass
        except BaseException as error:
            self.error = error
            self._failed()

    def timed(self, items: Iterable[A]) -> Iterator[A]:
        """Yield the items, counting the time that the source of them takes."""
        iterator = iter(items)
        while True:
            start = time.perf_counter()
            try:
                item = next(iterator)
            except StopIteration:
                return
            finally:
                self.seconds += time.perf_counter() - start
            yield item

    def call(self, function: Callable[[A], B], item: A) -> B:
        """Return function(item), counting its time."""
        start = time.perf_counter()
        try:
            return function(item)
        finally:
            self.seconds += time.perf_counter() - start


def run_pipeline(
    decode: Iterable[A],
    net: Callable[[A], B],
    encode: Callable[[B], None],
    finish: Callable[[], None],
    watch: Callable[[], None] = lambda: None,
) -> LaneSeconds:
    """Pass every item of `decode` through `net` to `encode`, each in its own thread.

    `finish` is called after the last `encode`, in its thread, when nothing has failed.
    `watch` is called about ten times a second in the calling thread, which waits, so that Ctrl-C
    reaches it. Whatever happens, no thread is left running.

    Raises:
        BaseException: the first error of any of the three, or of `watch`.
    """
    decoded: _Queue[A] = _Queue(_DEPTH)
    resolved: _Queue[B] = _Queue(_DEPTH)

    def stop() -> None:
        decoded.stop()
        resolved.stop()

    lanes = [
        _Lane("decode", lambda lane: _pass_on(lane.timed(decode), decoded), stop),
        _Lane("net", lambda lane: _pass_on((lane.call(net, x) for x in decoded), resolved), stop),
        _Lane("encode", lambda lane: _consume(lane, resolved, encode, finish), stop),
    ]
    try:
        for lane in lanes:
            lane.start()
        while lanes[-1].is_alive():
            lanes[-1].join(_WATCH_SECONDS)
            watch()
    finally:
        stop()
        for lane in lanes:
            if lane.ident is not None:
                lane.join()
    for lane in lanes:
        if lane.error is not None:
            raise lane.error
    return LaneSeconds(*(lane.seconds for lane in lanes))


def _pass_on(items: Iterable[A], queue: _Queue[A]) -> None:
    for item in items:
        queue.put(item)
    queue.end()


def _consume(
    lane: _Lane, queue: _Queue[B], encode: Callable[[B], None], finish: Callable[[], None]
) -> None:
    for item in queue:
        lane.call(encode, item)
    lane.call(lambda _: finish(), None)
