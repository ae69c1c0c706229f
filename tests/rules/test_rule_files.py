import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.errors import RuleError
from bridge.rules import RuleFile, list_packs, load

HEAD = "schema_version = 1\n"
RULE = '[[rules]]\nid = "a"\nreason = "because"\nprecision = "float32"\n'
OP = 'match = [{ kind = "op_type", op_types = ["Softmax"] }]\n'
type Make = Callable[..., RuleFile]


def refusal(tmp_path: Path, content: str | bytes) -> str:
    path = tmp_path / "bad.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(RuleError) as caught:
        load([path])
    assert caught.value.exit_code == 2
    return caught.value.message.replace(f"{tmp_path}/", "")


def test_a_file_is_read_with_the_line_of_each_rule(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    second = RULE.replace('"a"', '"b"')
    path.write_text(f'{HEAD}description = "mine"\n\n{RULE}{OP}\n# [[rules]]\n{second}{OP}')
    (file,) = load([path])
    assert (file.label, file.description, file.reset) == (str(path), "mine", False)
    assert [rule.id for rule in file.rules] == ["a", "b"]
    assert file.lines == (4, 11)
    assert file.rules[0].optional is False


def test_files_keep_their_order_and_a_path_may_be_text_or_path(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.toml").write_text(f"{HEAD}rules = []")
    files = load([str(tmp_path / "two.toml"), "default", tmp_path / "one.toml"])
    assert [Path(file.label).name for file in files] == ["two.toml", "default.toml", "one.toml"]


def test_rules_may_be_written_inline_or_as_tables_of_tables(rule_file: Make) -> None:
    inline = rule_file(
        text=f'{HEAD}rules = [\n{{ id = "a", reason = "r", match = [{{ kind = "name", glob = "x" }}], precision = "float16", optional = true }},\n]'
    )
    tables = rule_file(
        text=f'{HEAD}[[rules]]\nid = "a"\nreason = "r"\nprecision = "float16"\noptional = true\n[[rules.match]]\nkind = "name"\nglob = "x"'
    )
    assert inline.rules == tables.rules
    assert (inline.lines, tables.lines) == ((3,), (2,))


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "windows.toml"
    path.write_bytes(b"\xef\xbb\xbf" + f"{HEAD}\n{RULE}{OP}".replace("\n", "\r\n").encode())
    assert load([path])[0].lines == (3,)


def test_a_reason_over_several_lines_becomes_one_line(rule_file: Make) -> None:
    text = f"{HEAD}{RULE}{OP}".replace('"because"', '"""\nfirst\n  second"""')
    assert rule_file(text=text).rules[0].reason == "first second"


FAULTS = [
    ("unknown kind", RULE + OP.replace("op_type", "op_tpe", 1), "bad.toml:6: rules.0.match.0: unknown kind 'op_tpe', did you mean 'op_type'? Received: {'kind': 'op_tpe', 'op_types': ['Softmax']}"),
    ("no kind", RULE + 'match = [{ op_types = ["Softmax"] }]', "bad.toml:6: rules.0.match.0: key 'kind' is missing, known kinds are 'op_type', 'pattern', 'name'"),
    ("kind is no text", RULE + "match = [{ kind = 3 }]", "bad.toml:6: rules.0.match.0: unknown kind '3', known are 'op_type'"),
    ("unknown key of a condition", RULE + OP.replace("op_types", "op_typs"), "bad.toml:6: rules.0.match.0.op_typs: unknown key 'op_typs', did you mean 'op_types'? Received: ['Softmax']"),
    ("missing key of a condition", RULE + OP.replace("op_types", "op_typs"), "bad.toml:6: rules.0.match.0: key 'op_types' is missing. Received: {'kind': 'op_type', 'op_typs': ['Softmax']}"),
    ("unknown key of a rule", RULE + OP + 'prcision = "float32"', "bad.toml:7: rules.0.prcision: unknown key 'prcision', did you mean 'precision'? Received: 'float32'"),
    ("key far from all", RULE + OP + "zzz = 1", "bad.toml:7: rules.0.zzz: unknown key 'zzz', known are 'id', 'reason', 'match', 'precision', 'observer', 'range', 'clip', 'replace', 'optional'. Received: 1"),
    ("unknown key of the file", "[[rule]]\nid = 1", "bad.toml:2: rule: unknown key 'rule', did you mean 'rules'? Received: [{'id': 1}]"),
    ("no rules", "", "bad.toml:1: key 'rules' is missing. Received: {'schema_version': 1}"),
    ("no match", RULE, "bad.toml:2: rules.0: key 'match' is missing. Received: {'id': 'a', 'reason': 'because', 'precision': 'float32'}"),
    ("empty match", RULE + "match = []", "bad.toml:6: rules.0.match: needs at least one entry. Received: []"),
    ("match is no list", RULE + 'match = { kind = "name", glob = "a" }', "bad.toml:6: rules.0.match: should be a list, in []. Received: {'kind': 'name', 'glob': 'a'}"),
    ("condition is no table", RULE + 'match = ["Softmax"]', "bad.toml:6: rules.0.match.0: should be a table, { kind = ... }. Received: 'Softmax'"),
    ("words are no list", RULE + OP.replace('["Softmax"]', '"Softmax"'), "bad.toml:6: rules.0.match.0.op_types: should be a list, in []. Received: 'Softmax'"),
    ("unknown precision", RULE.replace("float32", "flaot32") + OP, "bad.toml:5: rules.0.precision: 'flaot32' is not known, did you mean 'float32'? Received: 'flaot32'"),
    ("precision far from all", RULE.replace("float32", "half") + OP, "bad.toml:5: rules.0.precision: 'half' is not known, known are 'static_wi8_ai8'"),
    ("no action", RULE.replace('precision = "float32"\n', "") + OP, "bad.toml:2: rules.0: a rule gives at least one of precision, observer, range, clip and replace. Received:"),
    ("unknown observer", RULE + OP + 'observer = "percentil"', "bad.toml:7: rules.0.observer: There is no observer 'percentil', did you mean 'percentile'? Known: min_max, moving_average, percentile, entropy, mse;"),
    ("percentile out of bounds", RULE + OP + 'observer = "percentile:12"', "bad.toml:7: rules.0.observer: There is no observer 'percentile:12'"),
    ("range upside down", RULE + OP + "range = [1.0, -1.0]", "bad.toml:7: rules.0.range: should be the two ends of a range, the smaller first. Received: [1.0, -1.0]"),
    ("range of one end", RULE + OP + "clip = [1]", "bad.toml:7: rules.0.clip: should be the two ends of a range, the smaller first. Received: [1]"),
    ("range that is no list", RULE + OP + "range = 6.0", "bad.toml:7: rules.0.range: should be a list, in []. Received: 6.0"),
    ("range without an end", RULE + OP + "range = [0.0, inf]", "bad.toml:7: rules.0.range.1: Input should be a finite number"),
    ("range and clip", RULE + OP + "range = [0, 6]\nclip = [0, 6]", "bad.toml:2: rules.0: a range is fixed, so neither observer nor clip can change it: give the range alone"),
    ("range by own error", RULE + 'observer = "mse"\nmatch = [{ kind = "own_error", below_db = 20 }]', "bad.toml:2: rules.0: own_error is measured with the ranges, so it cannot choose them"),
    ("unknown pattern", RULE + 'match = [{ kind = "pattern", patterns = ["layernorm"] }]', "bad.toml:6: rules.0.match.0.patterns.0: 'layernorm' is not known, did you mean 'layer_norm'?"),
    ("misspelled operator", RULE + OP.replace("Softmax", "Sofmax"), "bad.toml:2: rules.0: 'Sofmax' is no ONNX operator, did you mean 'Softmax'? A custom operator needs a condition of kind 'domain' beside it."),
    ("operator in the wrong case", RULE + OP.replace("Softmax", "softmax"), "'softmax' is no ONNX operator, did you mean 'Softmax'?"),
    ("misspelled operator inside not", RULE + 'match = [{ kind = "not", condition = { kind = "position", op_types = ["Conb"], first = 1 } }]', "'Conb' is no ONNX operator, did you mean 'Conv'?"),
    ("fault inside any", RULE + 'match = [\n{ kind = "any", conditions = [\n{ kind = "name", glob = "a" },\n{ kind = "nam" }] }]'.replace(",\n{", ", {").replace("[\n{", "[{"), "bad.toml:6: rules.0.match.0.conditions.1: unknown kind 'nam', did you mean 'name'? Received: {'kind': 'nam'}"),
    ("both glob and regex", RULE + 'match = [{ kind = "name", glob = "a", regex = "a" }]', "bad.toml:6: rules.0.match.0: give either glob or regex. Received:"),
    ("hostile regex", RULE + 'match = [{ kind = "name", regex = "(?=a)" }]', "rules.0.match.0: '(?=' (lookaround, flags, named groups) is not possible in a rule"),
    ("attribute of a wrong type", RULE + 'match = [{ kind = "attribute", name = "axis", equals = { a = 1 } }]', "bad.toml:6: rules.0.match.0.equals: Input should be a valid boolean, or"),
    ("optional is no boolean", RULE + OP + 'optional = "yes"', "bad.toml:7: rules.0.optional: Input should be a valid boolean. Received: 'yes'"),
    ("empty reason", RULE.replace("because", "") + OP, "bad.toml:4: rules.0.reason: should not be empty. Received: ''"),
    ("blank reason", RULE.replace("because", " ") + OP, "bad.toml:4: rules.0.reason: should not be empty. Received: ' '"),
    ("control characters", RULE.replace("because", r"\u001b[31m") + OP, r"bad.toml:4: rules.0.reason: control characters are not allowed here. Received: '\x1b[31m'"),
    ("the same id twice", (RULE + OP) * 2, "bad.toml:8: rules.1.id: the id is taken by line 3. Received: 'a'"),
    ("not TOML", "[[rules]\n", "bad.toml:2: not TOML: Expected ']]' at the end of an array declaration. Received: '[[rules]'"),
    ("not TOML at its end", 'a = """', "bad.toml:2: not TOML:"),
    ("deep nesting", "x = " + "[" * 5000, "bad.toml: nested too deeply"),
    ("deep conditions", RULE + "match = [" + '{ kind = "not", condition = ' * 40 + '{ kind = "name", glob = "a" }' + " }" * 40 + "]", "bad.toml: nested more than 32 deep"),
    ("long key", "a" + ".a" * 100_000 + " = 1", "bad.toml:2: a dotted key is too long"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "message"), [fault[1:] for fault in FAULTS], ids=[fault[0] for fault in FAULTS])
def test_a_fault_is_told_with_file_line_key_and_what_was_received(body: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, HEAD + body)


@pytest.mark.parametrize(
    ("head", "message"),
    [
        ("schema_version = 2", "bad.toml:1: schema_version: this version of bridge reads schema_version = 1. Received: 2"),
        ("schema_version = true", "bad.toml:1: schema_version: Input should be a valid integer. Received: True"),
        ('description = ""', "bad.toml:1: key 'schema_version' is missing."),
    ],
)
def test_the_version_of_the_format_is_checked(head: str, message: str, tmp_path: Path) -> None:
    assert message in refusal(tmp_path, f"{head}\nrules = []")


def test_all_faults_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = HEAD + RULE.replace("float32", "int8") + OP.replace("kind", "knd") + "more = 1"
    lines = refusal(tmp_path, text).splitlines()
    assert [re.match(r"bad.toml:(\d+): ([\w.]+)", line).groups() for line in lines] == [  # type: ignore[union-attr]  # each line has this form
        ("5", "rules.0.precision"),
        ("6", "rules.0.match.0"),
        ("7", "rules.0.more"),
    ]


def test_of_very_many_faults_ten_are_told(tmp_path: Path) -> None:
    text = refusal(tmp_path, HEAD + "".join(f"k{index} = 1\n" for index in range(30)) + "rules = []")
    assert len(text.splitlines()) == 11
    assert text.endswith("bad.toml: and 20 more faults")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, b"a = 1\nb = '\xff'") == "bad.toml:2: not UTF-8 text. Received: byte 0xff"


def test_a_file_of_more_than_a_mebibyte_is_refused(tmp_path: Path) -> None:
    assert refusal(tmp_path, HEAD + "rules = []\n#" + "x" * (1 << 20)) == "bad.toml: a rule file may have 1024 KiB"


def test_a_custom_operator_may_have_any_name_beside_a_domain(rule_file: Make) -> None:
    op_type = '{ kind = "op_type", op_types = ["Sofmax"] }'
    assert rule_file(op_type + ', { kind = "domain", domains = ["mine"] }').rules
    with pytest.raises(RuleError, match="no ONNX operator"):
        rule_file(op_type + ', { kind = "domain", domains = ["ai.onnx"] }')


def test_an_operator_unlike_any_other_is_taken_for_a_custom_one(rule_file: Make) -> None:
    assert rule_file('{ kind = "op_type", op_types = ["FancyThing"] }').rules


def test_ids_and_globs_may_hold_whatever_node_names_hold(rule_file: Make) -> None:
    file = rule_file(text=f"{HEAD}{RULE}{OP}".replace('id = "a"', 'id = "float-encoder layer[0]: MatMul_é"'))
    assert file.rules[0].id == "float-encoder layer[0]: MatMul_é"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("defualt", "'defualt' is neither a rule pack nor a file, did you mean 'default'?"),
        ("nothing_like_it", "'nothing_like_it' is neither a rule pack nor a file"),
        ("missing.toml", "missing.toml: no such rule file"),
        ("some/where", "some/where: no such rule file"),
        (Path("default"), "default: no such rule file"),
        ("/", "/: no such rule file"),
    ],
)
def test_an_unknown_name_lists_the_packs(name: str | Path, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RuleError) as caught:
        load([name])
    assert caught.value.message == message
    assert all(pack.name in caught.value.hint for pack in list_packs())


def test_a_pack_goes_before_a_file_of_the_same_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "default").write_text(f"{HEAD}rules = []")
    (tmp_path / "own").write_text(f"{HEAD}rules = []")
    assert load(["default"])[0].label == "exclusion_rules/default.toml"
    assert load(["own"])[0].label == "own"


def test_packs_are_listed_by_name() -> None:
    names = [pack.name for pack in list_packs()]
    assert names == sorted(names)
    assert {"default", "all-int8"} <= set(names)
