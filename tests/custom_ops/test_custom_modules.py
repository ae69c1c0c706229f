"""Modules that register operators are imported where the user names them, and nowhere else."""

import sys
from pathlib import Path

import pytest
from custom_model import MODULE, scope

from bridge.custom_ops import configured_modules, load_modules
from bridge.custom_ops.registry import find
from bridge.errors import UsageError

__all__ = ["scope"]  # a fixture of every test here


def test_a_module_of_the_current_folder_registers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "swoosh_ops.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    path = list(sys.path)
    load_modules(["swoosh_ops"])
    assert find("my.layers", "Swoosh") is not None
    assert sys.path == path


def test_pyproject_names_modules(tmp_path: Path) -> None:
    assert configured_modules(tmp_path) == ()
    (tmp_path / "pyproject.toml").write_text('[tool.bridge]\ncustom_ops = ["my_package.ops"]\n')
    assert configured_modules(tmp_path) == ("my_package.ops",)


@pytest.mark.parametrize(
    ("text", "message"), [("[tool.bridge]\ncustom_ops = 3\n", "no list of module names. Received: 3"), ("[tool", "cannot be read")]
)
def test_a_pyproject_that_says_nothing_usable_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        configured_modules(tmp_path)


def test_a_module_that_is_not_there_is_refused() -> None:
    with pytest.raises(UsageError, match="--custom-ops no_such_module: there is no module 'no_such_module'"):
        load_modules(["no_such_module"])


@pytest.mark.parametrize(
    ("name", "body", "message"), [("bad_ops_a", "1 / 0", "raised ZeroDivisionError"), ("bad_ops_b", MODULE * 2, "is registered already")]
)
def test_a_module_that_fails_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, body: str, message: str) -> None:
    (tmp_path / f"{name}.py").write_text(body)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        load_modules([name])
