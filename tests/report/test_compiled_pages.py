"""Pages are compiled once, and say the same."""

import sys
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes

from bridge.report import html_report
from bridge.report.compiled_pages import CompiledPages

TEMPLATES = Path(html_report.__file__).with_name("templates")


def page(folder: Path, text: str, *, autoescape: bool) -> str:
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=autoescape)
    environment.bytecode_cache = cache = CompiledPages(environment)
    cache.directory = str(folder / "__pycache__")
    (folder / "a.j2").write_text(text)
    return environment.get_template("a.j2").render(x="<b>")


def test_a_page_is_compiled_once_and_again_when_it_or_the_options_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    assert page(tmp_path, "{{ x }}", autoescape=True) == "&lt;b&gt;"
    monkeypatch.setattr(jinja2.Environment, "compile", None)  # so that nothing is compiled
    assert page(tmp_path, "{{ x }}", autoescape=True) == "&lt;b&gt;"
    monkeypatch.undo()
    assert page(tmp_path, "{{ x }}", autoescape=False) == "<b>"
    assert page(tmp_path, "{{ x }}!", autoescape=True) == "&lt;b&gt;!"


def test_where_nothing_may_be_written_it_is_compiled_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    (tmp_path / "__pycache__").write_text("a file, so no folder")
    with pytest.raises(OSError, match="__pycache__"):
        (tmp_path / "__pycache__" / "a").touch()
    assert page(tmp_path, "{{ x }}", autoescape=True) == "&lt;b&gt;"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "__pycache__").unlink()
    assert page(tmp_path, "{{ x }}", autoescape=True) == "&lt;b&gt;"
    assert not (tmp_path / "__pycache__").exists()


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.j2")), ids=lambda path: path.name)
def test_no_template_hands_a_constant_to_our_filters(path: Path) -> None:
    for found in html_report.environment().parse(path.read_text()).find_all(nodes.Filter):
        if found.name in html_report.FILTERS:
            assert list(found.find_all(nodes.Name)), f"{path.name}:{found.lineno}: |{found.name} would be compiled with its result"
