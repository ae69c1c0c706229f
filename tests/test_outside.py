import threading
import time

import pytest

from bridge.outside import ANY, Clock, Shares


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, in a list that a test changes."""
    told = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: told[0])
    return told


def test_a_clock_counts_the_time_in_which_any_thread_is_inside(now: list[float]) -> None:
    common = Clock()
    first, second = Clock(common), Clock(common)
    with first:
        now[0] = 2.0
        with second, second:  # as two threads do
            now[0] = 5.0
        now[0] = 6.0
        assert (first.seconds, second.seconds, common.seconds) == (6.0, 3.0, 6.0)
    now[0] = 10.0
    assert (first.seconds, second.seconds, common.seconds) == (6.0, 3.0, 6.0)


def test_a_clock_stops_when_its_block_fails(now: list[float]) -> None:
    clock = Clock()

    def fail() -> None:
        with clock:
            now[0] = 1.0
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    now[0] = 9.0
    assert clock.seconds == 1.0


def test_clocks_lose_nothing_between_threads() -> None:
    clock = Clock()

    def work() -> None:
        for _ in range(1000):
            with clock:
                pass

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock._inside == 0


def test_own_time_is_what_no_other_tool_took() -> None:
    shares = Shares()
    with ANY:
        time.sleep(0.02)
    spent = shares.seconds()
    assert spent["own"] <= spent["whole"] - 0.02
    assert {"onnx2tf", "opening", "inference"} < set(spent)
