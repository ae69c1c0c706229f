"""Which test provokes which finding: read from the marks, and held to by what happens while the test runs."""

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bridge.errors import BridgeError
from bridge.findings import KINDS, Kind, diagnostic

HERE = Path(__file__).parents[1]


def provoking_tests() -> dict[str, list[str]]:
    """Code -> the tests marked `@pytest.mark.provokes(code)`, as pytest names them."""
    found: dict[str, list[str]] = {}
    for path in sorted(HERE.rglob("test_*.py")):
        for function in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(function, ast.FunctionDef):
                for code in _marked(function):
                    found.setdefault(code, []).append(f"{path.relative_to(HERE.parent).as_posix()}::{function.name}")
    return found


def _marked(function: ast.FunctionDef) -> Iterator[str]:
    for call in (node for decorator in function.decorator_list for node in ast.walk(decorator) if isinstance(node, ast.Call)):
        if ast.unparse(call.func) == "pytest.mark.provokes":
            yield from (str(argument.value) for argument in call.args if isinstance(argument, ast.Constant))


class _Recorded(dict[str, Kind]):
    """The table of kinds, which notes what is looked up."""

    def __init__(self, seen: set[str]) -> None:
        super().__init__(KINDS)
        self._seen = seen

    def get(self, code: str, default: Kind | None = None) -> Kind | None:  # type: ignore[override]
        self._seen.add(code)
        return super().get(code, default)


@contextmanager
def recorded() -> Iterator[set[str]]:
    """The codes of all findings and errors that are made meanwhile."""
    seen: set[str] = set()
    errors: list[BridgeError] = []
    make: Callable[..., None] = BridgeError.__init__

    def noting(self: BridgeError, *arguments: object, **options: object) -> None:
        make(self, *arguments, **options)
        errors.append(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diagnostic, "KINDS", _Recorded(seen))
        patch.setattr(BridgeError, "__init__", noting)
        yield seen
    seen.update(error.code for error in errors)
