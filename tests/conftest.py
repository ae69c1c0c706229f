import contextlib
import signal
from collections.abc import Generator

import pytest
from provocations import recorded


def pytest_configure() -> None:
    """A shell starts what runs in its background deaf to Ctrl-C, and so are its children: tests of that signal would wait for nothing."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where tests use TensorFlow, torch's compiler is loaded first: their LLVMs bear each other in this order only, else the process ends."""
    if any("tensorflow" in path.read_text(encoding="utf-8") for path in {item.path for item in session.items}):
        with contextlib.suppress(ModuleNotFoundError):
            import torch._dynamo  # noqa: F401


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """A test marked `provokes` has to come to the findings that it is said to."""
    expected = {str(code) for marker in item.iter_markers("provokes") for code in marker.args}
    if not expected:
        return (yield)
    with recorded() as seen:
        result = yield
    missing = expected - seen
    assert not missing, f"the test did not provoke {', '.join(sorted(missing))}"
    return result
