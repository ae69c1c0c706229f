import functools
import operator
import threading
from concurrent.futures import CancelledError

import pytest

from bridge import outside
from bridge.beside import Beside


def test_work_is_done_in_its_order_and_its_error_is_raised_where_the_result_is_asked_for() -> None:
    with Beside(wanted=True) as beside:
        results = [beside.start(functools.partial(operator.floordiv, 6, value)) for value in (2, 0, 3)]
        assert [results[0](), results[2]()] == [3, 2]
        with pytest.raises(ZeroDivisionError):
            results[1]()


def test_long_work_ends_with_the_block_and_what_waits_is_not_begun() -> None:
    began, seen = threading.Event(), []

    def count() -> None:
        for number in beside.steps(iter(int, 1)):  # zeros without end
            seen.append(number)
            began.set()

    threads = threading.active_count()
    with Beside(wanted=True) as beside:
        beside.start(count)
        later = beside.start(lambda: seen.append(-1))
        began.wait()
    with pytest.raises(CancelledError):
        later()
    assert -1 not in seen
    assert threading.active_count() == threads


def test_without_a_thread_the_work_is_done_when_it_is_asked_for() -> None:
    done: list[int] = []
    with Beside(wanted=False) as beside:
        ask = beside.start(lambda: done.append(1))
        assert done == []
        ask()
    assert done == [1]


def test_the_clocks_do_not_count_what_goes_on_beside() -> None:
    def run() -> None:
        with outside.INFERENCE:
            pass

    before = outside.INFERENCE.seconds
    with Beside(wanted=True) as beside:
        beside.start(run)()
    assert outside.INFERENCE.seconds == before
    run()
    assert outside.INFERENCE.seconds > before
