import pytest
from rich.progress import Progress

from bridge.progress_bars import TimeLeft


@pytest.mark.parametrize(
    ("total", "seconds", "steps", "shown"),
    [(60, 30.0, 20, "0:01:00 left"), (60, 0.0, 0, "-:--:-- left"), (60, 30.0, 60, ""), (None, 30.0, 20, "")],
)
def test_the_time_that_is_left(total: int | None, seconds: float, steps: int, shown: str) -> None:
    clock = [0.0]
    bars = Progress(get_time=lambda: clock[0])
    task = bars.add_task("trials", total=total)
    for done in range(1, steps + 1):
        clock[0] = done * seconds / steps
        bars.advance(task)
    assert TimeLeft().render(bars.tasks[0]).plain == shown
