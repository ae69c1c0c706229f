import pydoc
import subprocess
import sys

import pytest

import bridge


@pytest.mark.parametrize("name", bridge.__all__)
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(bridge, name).__doc__
    assert name in dir(bridge)


@pytest.mark.parametrize("name", bridge.__all__)
def test_help_describes_every_public_name(name: str) -> None:
    assert pydoc.render_doc(getattr(bridge, name))  # which asks a class for its signature, and that for every type in it


def test_public_names_are_sorted() -> None:
    assert list(bridge.__all__) == sorted(bridge.__all__)


@pytest.mark.parametrize("first", ["bridge.convert.layout", "bridge.compare", "bridge.pipeline", "bridge.inspect"])
def test_a_subpackage_does_not_hide_the_function_of_its_name(first: str) -> None:
    code = f"import {first}, bridge; assert all(callable(f) for f in (bridge.convert, bridge.compare, bridge.inspect))"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        bridge.nothing  # noqa: B018  # the access is the test
