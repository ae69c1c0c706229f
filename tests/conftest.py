import contextlib

import pytest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where tests use TensorFlow, torch's compiler is loaded first: their LLVMs bear each other in this order only, else the process ends."""
    if any("tensorflow" in path.read_text(encoding="utf-8") for path in {item.path for item in session.items}):
        with contextlib.suppress(ModuleNotFoundError):
            import torch._dynamo  # noqa: F401
