"""Rules that are put in, replaced and taken out of files that people wrote."""

import tomllib
from pathlib import Path

import pytest

from bridge.errors import RuleError
from bridge.rules.edit import edit, edited
from bridge.rules.schema import Rule

TEXT = """\
#:schema ./schema.json
# What our detector needs.
schema_version = 1   # never changes
description = "d"

# Scores and boxes meet here.
[[rules]]
id = "scores"
reason = 'All scores are zero.'   # measured by hand
match = [
    { kind = "op_type", op_types = ["Concat"] },  # the join
]
precision = "float32"  # for now

# --- the rest ---

# Small, so it costs nothing.
[[rules]]
id = "last"
reason = "r"
match = [{ kind = "position", op_types = ["Gemm"], last = 1 }]
precision = "dynamic_wi8_afp32"
optional = true
# the end
"""


def rule(id_: str, reason: str = "r", **fields: object) -> Rule:
    values = {"id": id_, "reason": reason, "match": [{"kind": "name", "glob": f"{id_}/**"}], "precision": "float32"}
    return Rule.model_validate(values | fields)


SCORES = {"match": [{"kind": "op_type", "op_types": ["Concat"]}]}


def test_nothing_to_do_changes_nothing() -> None:
    assert edited(TEXT) == TEXT
    assert edited(TEXT, put=[rule("scores", "All scores are zero.", **SCORES)]) == TEXT


def test_of_a_rule_only_the_values_that_differ_are_written_anew() -> None:
    changed = edited(TEXT, put=[rule("scores", "12.5 dB without it.", **SCORES, precision="float16")])
    assert changed == TEXT.replace("'All scores are zero.'", '"12.5 dB without it."').replace('"float32"  # for now', '"float16"  # for now')


def test_another_match_replaces_the_old_one_in_its_place() -> None:
    changed = edited(TEXT, put=[rule("scores", "All scores are zero.")])
    start, end = TEXT.index("match = [\n"), TEXT.index('precision = "float32"  # for now')
    assert changed == f'{TEXT[:start]}match = [{{ kind = "name", glob = "scores/**" }}]\n{TEXT[end:]}'


def test_a_key_that_is_new_goes_to_the_end_of_its_rule_and_one_that_is_gone_goes_with_its_line() -> None:
    position = [{"kind": "position", "op_types": ["Gemm"], "last": 1}]
    changed = edited(TEXT, put=[rule("last", match=position, precision="dynamic_wi8_afp32", clip=[-6.0, 6.0])])
    assert changed == TEXT.replace("optional = true\n", "clip = [-6.0, 6.0]\n")


def test_a_rule_that_is_new_comes_last_behind_all_comments() -> None:
    changed = edited(TEXT, put=[rule("b"), rule("a", 'says "no"\\')])
    assert changed == (
        TEXT + '\n[[rules]]\nid = "b"\nreason = "r"\nmatch = [{ kind = "name", glob = "b/**" }]\nprecision = "float32"\n'
        '\n[[rules]]\nid = "a"\nreason = "says \\"no\\"\\\\"\nmatch = [{ kind = "name", glob = "a/**" }]\nprecision = "float32"\n'
    )


def test_a_rule_goes_with_the_comment_right_above_it_and_no_other() -> None:
    changed = edited(TEXT, remove=["last"])
    assert changed == TEXT.replace(TEXT[TEXT.index("# Small") : TEXT.index("# the end")], "")
    assert tomllib.loads(changed)["rules"][0]["id"] == "scores"
    first = edited(TEXT, remove=["scores"])
    assert first == TEXT.replace(TEXT[TEXT.index("# Scores") : TEXT.index("# --- the rest")], "")


def test_when_the_last_rule_goes_the_file_stays_one() -> None:
    empty = edited(TEXT, remove=["last", "scores"])
    assert empty.endswith("# the end\nrules = []\n")
    assert edited(empty, put=[rule("new")]).endswith(
        '# the end\n\n[[rules]]\nid = "new"\nreason = "r"\nmatch = [{ kind = "name", glob = "new/**" }]\nprecision = "float32"\n'
    )


TABLES = """\
schema_version = 1
[[rules]]
id = "a"
reason = "r"
precision = "float32"  # keep
[[rules.match]]
kind = "name"
glob = "a"
[[rules.match]]
kind = "not"
condition.kind = "dtype"
condition.dtypes = ["int64"]

[[rules]]
id = "b"
reason = "r"
precision = "float32"
[[rules.match]]
kind = "name"
glob = "b"
"""


def test_conditions_with_headers_are_kept_while_they_are_the_same() -> None:
    match = [{"kind": "name", "glob": "a"}, {"kind": "not", "condition": {"kind": "dtype", "dtypes": ["int64"]}}]
    assert edited(TABLES, put=[rule("a", "new", match=match)]) == TABLES.replace('"r"', '"new"', 1)


def test_conditions_with_headers_become_a_list_when_they_are_others() -> None:
    changed = edited(TABLES, put=[rule("a")])
    start, end = TABLES.index("[[rules.match]]"), TABLES.index('\n[[rules]]\nid = "b"')
    assert changed == f'{TABLES[:start]}match = [{{ kind = "name", glob = "a/**" }}]\n{TABLES[end:]}'
    assert edited(TABLES, remove=["a"]) == "schema_version = 1\n" + TABLES[end + 1 :]


INLINE = """\
schema_version = 1
rules = [
    # one
    { id = "a", reason = "r", match = [{ kind = "name", glob = "a" }], precision = "float32" },  # about a
    # two
    { id = "b", reason = "r", match = [{ kind = "name", glob = "b" }], precision = "float32" }  # about b
]  # all
"""


def test_rules_in_one_list_stay_there() -> None:
    new = '{ id = "a", reason = "r", match = [{ kind = "name", glob = "a/**" }], precision = "float32" }'
    lines = INLINE.splitlines(keepends=True)
    assert edited(INLINE, put=[rule("a")]) == "".join([*lines[:3], f"    {new},  # about a\n", *lines[4:]])
    assert edited(INLINE, remove=["a"]) == "".join([*lines[:3], *lines[4:]])
    assert edited(INLINE, remove=["b"]) == "".join([*lines[:5], *lines[6:]])
    third = '{ id = "c", reason = "r", match = [{ kind = "name", glob = "c/**" }], precision = "float32" }'
    assert edited(INLINE, put=[rule("c")]) == INLINE.replace('"float32" }  # about b', f'"float32" }},\n    {third}  # about b')


def test_rules_on_one_line_are_taken_out_one_by_one() -> None:
    text = 'schema_version = 1\nrules = [{ id = "a", reason = "r", match = [{ kind = "name", glob = "a" }], precision = "float32" }, { id = "b", reason = "r", match = [{ kind = "name", glob = "b" }], precision = "float32" }]\n'
    assert [one["id"] for one in tomllib.loads(edited(text, remove=["a"]))["rules"]] == ["b"]
    assert [one["id"] for one in tomllib.loads(edited(text, remove=["b"]))["rules"]] == ["a"]
    assert tomllib.loads(edited(text, remove=["a", "b"]))["rules"] == []


def test_a_long_match_gets_a_line_per_condition() -> None:
    match = [{"kind": "name", "glob": f"{letter * 60}/**"} for letter in "abc"]
    changed = edited(TEXT, put=[rule("long", match=match)])
    assert f'match = [\n    {{ kind = "name", glob = "{"a" * 60}/**" }},\n' in changed
    assert len(tomllib.loads(changed)["rules"]) == 3


def test_many_changes_at_once_are_all_made() -> None:
    changed = tomllib.loads(edited(TEXT, put=[rule("new"), rule("last", "better")], remove=["scores"]))["rules"]
    assert [(one["id"], one["reason"]) for one in changed] == [("last", "better"), ("new", "r")]


def test_an_id_that_is_not_there_is_refused() -> None:
    with pytest.raises(RuleError, match=r"rules: there is no rule 'score' to remove, did you mean 'scores'\?"):
        edited(TEXT, remove=["score"])


def test_a_text_that_is_no_rule_file_is_refused() -> None:
    with pytest.raises(RuleError, match=r"mine\.toml:1: key 'rules' is missing"):
        edited("schema_version = 1\n", put=[rule("a")], label="mine.toml")


def test_a_file_keeps_its_line_ends_and_its_mark(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    edit(path, put=[rule("new")], remove=["last"])
    content = path.read_bytes()
    assert content.startswith(b"\xef\xbb\xbf#:schema")
    assert content.count(b"\n") == content.count(b"\r\n")
    assert [one["id"] for one in tomllib.loads(content.decode("utf-8-sig"))["rules"]] == ["scores", "new"]


def test_a_file_that_cannot_be_read_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(RuleError, match="cannot be read"):
        edit(tmp_path / "nowhere.toml", put=[rule("a")])
    assert list(tmp_path.iterdir()) == []
