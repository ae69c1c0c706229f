"""`uv run python tests/diagnosis/troubleshooting_page.py` writes docs/troubleshooting.md from bridge/findings and the marks of the tests."""

from pathlib import Path

from provocations import provoking_tests

from bridge.findings import FAMILIES, Kind

PAGE = Path(__file__).parents[2] / "docs" / "troubleshooting.md"

HEAD = """# Troubleshooting

Everything that bridge finds wrong has a code that stays. `bridge inspect`, `bridge convert` and `bridge compare` print it, a failed command prints it
too (`more: bridge findings CODE`), and `report.json` has it in `diagnostics[].code`. With `--json` a failed command prints the same findings as JSON.

- **error**: there is no result, or it is wrong. **warning**: the result may be worse than it could be. **info**: it explains the result.
- A finding names the node as your model does, says what was measured, and what to do.
- `bridge findings` lists all codes, `bridge findings CODE` explains one.
- A gate can hold them: `--gate 'warnings<=0'` ends with exit code 5 where there is one.

This page is made from the table that the program uses (`uv run python tests/diagnosis/troubleshooting_page.py`); the table of each family shows an
example of every finding, and the test that provokes it.
"""


def page() -> str:
    """The page as text."""
    tests = provoking_tests()
    parts = [HEAD]
    for family, kinds in FAMILIES.items():
        rows = [f"| [`{kind.code}`](#{kind.code}) | {kind.title} | {_code(kind.example)} | {_test(tests, kind.code)} |" for kind in kinds]
        parts.append("\n".join([f"## {family}", "", "| Code | What it means | Example | Test |", "|---|---|---|---|", *rows, ""]))
        parts += [_section(kind) for kind in kinds]
    return "\n".join(parts)


def _test(tests: dict[str, list[str]], code: str) -> str:
    path, _, name = tests.get(code, ["::"])[0].partition("::")
    return f"[`{name}`](../{path})"


def _code(text: str) -> str:
    """As code, inside a cell too."""
    return f"`{text.replace('`', '').replace('|', '/')}`"


def _section(kind: Kind) -> str:
    return (
        f"### {kind.code}\n\n{kind.title} ({', '.join(kind.severities)})\n\n"
        f"- **Cause.** {kind.cause}\n- **Example.** {_code(kind.example)}\n- **Cure.** {kind.cure}\n"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
