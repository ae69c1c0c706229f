"""docs/api.md is what the docstrings say, and they say everything."""

import inspect
import re
import textwrap

import griffe
import pytest
from api_page import PACKAGES, PAGE, documented, methods, page, public, sections

FUNCTIONS = {
    f"{package}.{name}{f'.{found.name}' if found.name != name else ''}": found
    for package in PACKAGES
    for name, value in public(package)
    for found in ([documented(value)] if inspect.isfunction(value) else methods(documented(value)))  # type: ignore[arg-type]  # a class
    if isinstance(found, griffe.Function)
}


def test_the_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "write it again: uv run python tests/api/api_page.py"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_arguments_results_and_errors_are_documented(name: str) -> None:
    found = FUNCTIONS[name]
    told = sections(found)
    taken = {one.name for one in found.parameters if not one.name.startswith("_") and one.name not in {"self", "cls", "args", "kwargs"}}
    assert {one.name.lstrip("*") for one in told.get("parameters", ())} == taken
    if taken:  # the first line of what takes nothing says what it gives
        assert ("returns" in told) == (str(found.returns) not in {"None", "Iterator[None]"})
    source = textwrap.dedent(found.source)
    assert set(re.findall(r"raise (\w+Error)\(", source)) <= {str(one.annotation) for one in told.get("raises", ())}


@pytest.mark.parametrize("package", PACKAGES)
def test_every_class_says_what_it_is(package: str) -> None:
    assert all(sections(documented(value)).get("text") for _, value in public(package))
