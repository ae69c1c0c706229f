import tomllib

import pytest

from bridge.rules.toml_lines import key_lines, line_of
from bridge.toml_text import line_with_long_key

TEXT = '''\
# [[rules]] in a comment
schema_version = 1  # [[rules]]
description = "[[rules]] in a \\"string\\""

[[rules]]
id = "first"
reason = """
[[rules]]
several lines"""
match = [
    { kind = "op_type", op_types = ["Conv", "Gemm"] },  # one
    { kind = "name", glob = '[[rules]]#' },
]

[[ rules ]]  # spaces are allowed
"id" = "second"
reason = \'\'\'
id = "no key"\'\'\'
[[rules.match]]
kind = "name"
glob = "a"
[[rules.match]]
kind = "any"
conditions = [{kind = "name", glob = "}"}, {kind = "name",glob="]"}]

[[rules]]
id = "third"
match.kind = 2024-01-01 10:00:00
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("schema_version",), 2),
        (("rules", 0), 5),
        (("rules", 0, "reason"), 7),
        (("rules", 0, "match"), 10),
        (("rules", 0, "match", 0), 11),
        (("rules", 0, "match", 0, "op_types", 1), 11),
        (("rules", 0, "match", 1, "glob"), 12),
        (("rules", 1), 15),
        (("rules", 1, "id"), 16),
        (("rules", 1, "match", 0), 19),
        (("rules", 1, "match", 1, "kind"), 23),
        (("rules", 1, "match", 1, "conditions", 1, "glob"), 24),
        (("rules", 2), 26),
        (("rules", 2, "match", "kind"), 28),
    ],
)
def test_every_key_has_its_line(path: tuple[str | int, ...], line: int) -> None:
    tomllib.loads(TEXT)  # the example is TOML
    assert key_lines(TEXT)[path] == line


def test_strings_and_comments_open_no_table() -> None:
    assert [path for path in key_lines(TEXT) if len(path) == 2 and path[0] == "rules"] == [("rules", 0), ("rules", 1), ("rules", 2)]


def test_an_unknown_path_gets_the_line_of_the_table_around_it() -> None:
    lines = key_lines(TEXT)
    assert line_of(lines, ("rules", 1, "precision")) == 15
    assert line_of(lines, ("nothing",)) == 1


def leaves(value: object, path: tuple[str | int, ...] = ()) -> set[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = {path} if path else set()
    for key, inner in items:
        found |= leaves(inner, (*path, key))
    return found


@pytest.mark.parametrize(
    "text",
    [
        TEXT,
        "",
        "\n# only a comment",
        "a = 1",
        "[a.b]\nc = {}\n[a.b.d]\ne = []\n[[a.f]]\n[a.f.g]\nh = 1\n[[a.f]]\ni = 2",
        "x = [[1, 2], [[3]], {y = [{z = 1}]},\n# comment ]\n]\nw = 1",
        'q."a.b".\'c d\' = """a"""""\nr = \'\'\'b\'\'\'\'\nt = "\\\\"\nu = 1.5',
        "m = 1979-05-27T07:32:00Z # x\nn = +inf\no = 0xff",
    ],
)
def test_it_finds_the_keys_that_tomllib_finds(text: str) -> None:
    assert set(key_lines(text)) >= leaves(tomllib.loads(text))


def test_a_key_that_takes_quadratic_time_is_seen_before_parsing() -> None:
    assert line_with_long_key("a = 1\n" + "b.a" * 100 + " = 1") == 2
    assert line_with_long_key('c = """\n"""\n' + "[" + '"b" . ' * 100 + "a]") == 3


def test_dots_in_strings_and_comments_are_no_long_key() -> None:
    dots = "a." * 100
    assert line_with_long_key(f'a = "{dots}"  # {dots}\nb = """{dots}\n{dots}"""\nc = \'{dots}\'') is None
    assert line_with_long_key("a" + ".a" * 64 + " = 1") is None
