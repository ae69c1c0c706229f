"""Writes docs/api.md from the docstrings: `uv run python tests/api/api_page.py`. A test keeps it current."""

import inspect
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import griffe

PAGE = Path(__file__).parents[2] / "docs" / "api.md"
PACKAGES = {
    "bridge": ("bridge", "Everything here is also what the command line does."),
    "bridge.qat": ("bridge.qat", "Quantization-aware training of torch modules and Keras models: [training.md](training.md)."),
    "bridge.compress": ("bridge.compress", "Pruning and clustering: [compression.md](compression.md)."),
    "bridge.testing": ("bridge.testing", "For test suites of training repositories: [training.md](training.md#as-a-test)."),
}
NAMES = {"bridge.testing": ("assert_quantizes",)}  # has no `__all__`
HEAD = """# Python reference

Made from the docstrings by `uv run python tests/api/api_page.py`; a test keeps it current. Shapes are in brackets, `N` counts samples. Every error is a `BridgeError` with
`message`, `hint`, `code` (of [troubleshooting.md](troubleshooting.md)) and `exit_code`.
"""


def public(package: str) -> list[tuple[str, Any]]:
    """The names of a package that users may use, with what they are."""
    module = import_module(package)
    return [(name, getattr(module, name)) for name in NAMES.get(package) or module.__all__]


@cache
def source() -> griffe.Module:
    """The package as its source says it."""
    found = griffe.load("bridge", resolve_aliases=False)
    assert isinstance(found, griffe.Module)
    return found


def documented(value: Any) -> griffe.Object:
    """What the source says about a function or class."""
    found = source()[f"{value.__module__.removeprefix('bridge.')}.{value.__qualname__}"]
    assert isinstance(found, griffe.Function | griffe.Class)
    return found


def methods(found: griffe.Class) -> Iterator[griffe.Function | griffe.Attribute]:
    """Public methods and properties of a class itself, in their order."""
    for name, member in found.members.items():
        if not name.startswith("_") and not member.is_alias and (member.is_function or "property" in member.labels):
            assert isinstance(member, griffe.Function | griffe.Attribute)
            yield member


def sections(found: griffe.Object) -> dict[str, Any]:
    """Sections of a docstring by kind."""
    return {} if found.docstring is None else {section.kind.value: section.value for section in found.docstring.parse("google", warnings=False)}


def _line(text: str) -> str:
    return " ".join(str(text).split())


def body(found: griffe.Object) -> str:
    """Text, parameters, result and errors."""
    told = sections(found)
    lines = [str(told.get("text", "")).strip(), ""]
    defaults = {one.name: one for one in found.parameters} if isinstance(found, griffe.Function | griffe.Class) else {}
    for kind in ("parameters", "attributes"):
        if kind in told:
            lines += [{"parameters": "Arguments:", "attributes": "Attributes:"}[kind], ""]
            for one in told[kind]:
                known = defaults.get(one.name)
                default = f" = `{known.default}`" if known is not None and known.default is not None else ""
                lines.append(f"- `{one.name}`{default}: {_line(one.description)}")
            lines.append("")
    if "returns" in told:
        lines += [f"Returns: {_line(' '.join(one.description for one in told['returns']))}", ""]
    if "raises" in told:
        lines += ["Raises:", "", *(f"- `{one.annotation}`: {_line(one.description)}" for one in told["raises"]), ""]
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for package, (title, about) in PACKAGES.items():
        parts.append(f"## {title}\n\n{about}\n")
        for name, value in public(package):
            found = documented(value)
            parts.append(f"### `{package}.{name}`\n\n{body(found)}")
            if inspect.isclass(value):
                parts += [f"#### `{name}.{method.name}`\n\n{body(method)}" for method in methods(found)]  # type: ignore[arg-type]  # a class, as just seen
    return "\n".join("\n".join(parts).split("\n")).replace("\n\n\n", "\n\n").rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
