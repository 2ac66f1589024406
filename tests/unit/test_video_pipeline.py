"""Three threads that overlap, stay bounded, and end together."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from edgevsr.video.pipeline import run_pipeline


def lanes() -> list[str]:
    return [t.name for t in threading.enumerate() if t.name.startswith("edgevsr-")]


def test_everything_passes_in_order_and_finish_comes_last() -> None:
    """Nothing is lost, doubled or reordered."""
    out: list[object] = []
    run_pipeline(range(200), lambda x: x * 2, out.append, lambda: out.append("end"))
    assert out == [*range(0, 400, 2), "end"]
    assert lanes() == []


def test_the_three_overlap() -> None:
    """Twenty items of 3 × 10 ms take little more than 20 × 10 ms."""

    def decode() -> Iterator[int]:
        for i in range(20):
            time.sleep(0.01)
            yield i

    def work(item: int) -> int:
        time.sleep(0.01)
        return item

    start = time.perf_counter()
    seconds = run_pipeline(decode(), work, lambda item: time.sleep(0.01), lambda: None)
    wall = time.perf_counter() - start
    assert min(seconds.decode, seconds.net, seconds.encode) >= 0.2
    assert wall < 0.75 * (seconds.decode + seconds.net + seconds.encode)


def test_a_slow_encoder_holds_the_decoder_back() -> None:
    """However long the video, only a few frames are in memory."""
    alive = highest = 0
    lock = threading.Lock()

    def decode() -> Iterator[int]:
        nonlocal alive, highest
        for i in range(100):
            with lock:
                alive += 1
                highest = max(highest, alive)
            yield i

    def encode(item: int) -> None:
        nonlocal alive
        time.sleep(0.002)
        with lock:
            alive -= 1

    run_pipeline(decode(), lambda x: x, encode, lambda: None)
    assert highest <= 12


@pytest.mark.parametrize("where", ["decode", "net", "encode", "finish", "watch"])
def test_an_error_anywhere_is_raised_and_no_thread_stays(where: str) -> None:
    """The first error wins, and the queues let every thread go."""

    def fail(place: str) -> None:
        if place == where:
            raise KeyboardInterrupt if where == "watch" else RuntimeError(where)

    def decode() -> Iterator[int]:
        for i in range(50):
            if i == 10:
                fail("decode")
            time.sleep(0.005)
            yield i

    def step(place: str, item: int) -> int:
        if item == 5:
            fail(place)
        return item

    expected = KeyboardInterrupt if where == "watch" else RuntimeError
    finished: list[bool] = []
    with pytest.raises(expected):
        run_pipeline(
            decode(),
            lambda item: step("net", item),
            lambda item: step("encode", item),
            lambda: (fail("finish"), finished.append(True)),
            lambda: fail("watch"),
        )
    assert not finished
    assert lanes() == []
