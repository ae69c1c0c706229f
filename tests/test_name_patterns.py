import random
import re
import time

import pytest

from bridge.name_patterns import NamePatternError, compile_glob, compile_regex, glob_fits


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("encoder/*", "encoder/MatMul"),
        ("*", "MatMul"),
        ("encoder/**", "encoder/layer.0/MatMul"),
        ("**/Softmax", "encoder/layer.0/Softmax"),
        ("**/Softmax", "Softmax"),
        ("a/**/b", "a/b"),
        ("a/**/b", "a/x/y/b"),
        ("a**b", "a/x/b"),
        ("layer.?", "layer.1"),
        ("layer.[0-3]", "layer.3"),
        ("layer.[!0-3]", "layer.4"),
        ("x[]a]", "x]"),
        ("encoder/*", "/encoder/MatMul"),
        ("/encoder/*", "/encoder/MatMul"),
        ("a.b", "a.b"),
    ],
)
def test_glob_fits(glob: str, name: str) -> None:
    assert glob_fits(glob, name)


@pytest.mark.parametrize(
    ("glob", "name"),
    [
        ("encoder/*", "encoder/layer.0/MatMul"),
        ("encoder/*", "my/encoder/MatMul"),
        ("encoder/**", "encoder"),
        ("**/Softmax", "LogSoftmax"),
        ("a/**/b", "a/xb"),
        ("a/**/b", "axb"),
        ("layer.?", "layer.12"),
        ("a?b", "a/b"),
        ("layer.[0-3]", "layer.4"),
        ("[!a]", "/"),
        ("encoder/*", "//encoder/x"),
        ("a.b", "axb"),
        ("Softmax", "softmax"),
        ("a", ""),
    ],
)
def test_glob_does_not_fit(glob: str, name: str) -> None:
    assert not glob_fits(glob, name)


@pytest.mark.parametrize("name", ["layers[0]", "a*b", "what?", "[", "x[b-a]", "*" * 3, "Add\n1", "naïve/層"])
def test_a_name_always_fits_itself(name: str) -> None:
    assert glob_fits(name, name)


def test_a_bracket_that_opens_no_class_stands_for_itself() -> None:
    assert glob_fits("x[b-a]*", "x[b-a]1")
    assert glob_fits("x[*", "x[1")


PIECES = ("a", "b", "/", ".", "[ab]", "[^a]", r"\w", r"\.", r"\d", "[a-b/]", "(?:)", "é")
COUNTS = ("*", "+", "?", "{2}", "{1,3}", "{,2}", "{2,}", "*?", "+?", "{0}")


def random_regex(random_source: random.Random, depth: int) -> str:
    kind = random_source.random()
    if depth == 0 or kind < 0.3:
        return random_source.choice(PIECES)
    if kind < 0.5:
        return random_regex(random_source, depth - 1) + random_regex(random_source, depth - 1)
    if kind < 0.65:
        return f"({random_regex(random_source, depth - 1)}|{random_regex(random_source, depth - 1)})"
    return f"({random_regex(random_source, depth - 1)}){random_source.choice(COUNTS)}"


def test_regexes_agree_with_the_standard_library_on_random_patterns_and_names() -> None:
    source = random.Random(7)
    fits = 0
    for _ in range(1500):
        text = random_regex(source, 3)
        ours, theirs = compile_regex(text), re.compile(text, re.DOTALL)
        for _ in range(6):
            name = "".join(source.choice("ab/.é1") for _ in range(source.randrange(6)))
            assert ours.matches(name) == bool(theirs.fullmatch(name)), (text, name)
            fits += ours.matches(name)
    assert fits > 500  # else the test compares refusals only


@pytest.mark.parametrize("text", ["^a.b$", "^a|b$", "^$", r"a\$", "a$", "(?:ab)+", r"a{2}?"])
def test_anchors_at_the_ends_change_nothing(text: str) -> None:
    for name in ("", "a", "b", "axb", "a$", "ab", "abab", "aa"):
        assert compile_regex(text).matches(name) == bool(re.fullmatch(text, name))


@pytest.mark.parametrize("hostile", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(a?){64}a{64}b", "(.*)*(.*)*(.*)*b", "(((a*)*)*)*b", "([a-z]+/?)+[0-9]"])
def test_a_regex_that_backtracks_forever_elsewhere_is_answered_in_one_reading(hostile: str) -> None:
    # Each character is looked at once, by construction; with `re` none of these ends within a lifetime.
    assert not compile_regex(hostile).matches("a" * 2000)
    assert not compile_glob("*a" * 200 + "b").matches("a" * 2000)


@pytest.mark.parametrize(
    "hostile", ["(a|b|ab|ba|aab|bba)*c", "([ab]{0,20}){0,30}c", "[ab]*a[ab]{600}c", "(x?a?b?){200}c", "(.*a.*b){9}c", "(a*)*(b*)*(a*)*(b*)*c"]
)
def test_a_thousand_names_against_a_hostile_regex_take_seconds(hostile: str) -> None:
    # Names that share nothing, so that no step is remembered. `re` does not come back from one of them for most of these.
    source = random.Random(3)
    names = ["".join(source.choice("ab") for _ in range(60)) for _ in range(1000)]
    started = time.process_time()
    assert not any(compile_regex(hostile).matches(name) for name in names)
    assert time.process_time() - started < 20.0  # under 1 s where nothing else runs


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("(?=a)", "lookaround"),
        ("(?i)a", "flags"),
        ("(?P<x>a)", "named groups"),
        (r"(a)\1", "back reference"),
        (r"\bword", "boundary"),
        (r"a\Z", "boundary"),
        ("a^b", "only at the start"),
        ("a$b", "only at the end"),
        ("*a", "nothing to repeat"),
        ("a|*", "nothing to repeat"),
        ("a**", "one count directly behind another"),
        ("a*+", "one count directly behind another"),
        ("a{", "opens no count"),
        ("a{,}", "opens no count"),
        ("a{3,2}", "runs backwards"),
        ("(a", "a '\\)' is missing"),
        ("a)", "closes nothing"),
        ("[a", "a '\\]' is missing"),
        ("[b-a]", "no character class"),
        ("[[a]", "write a backslash"),
        ("a\\", "escape"),
        ("((a{99}){99}){99}", "too large"),
        ("(((((){99}){99}){99}){99}){99}", "too large"),
        ("(" * 40 + "a" + ")" * 40, "nested more than 20"),
        ("a" * 257, "may have 256 characters"),
    ],
)
def test_what_a_regex_cannot_do_here_is_refused_with_the_reason(text: str, why: str) -> None:
    with pytest.raises(NamePatternError, match=why):
        compile_regex(text)


def test_the_largest_counts_that_are_accepted_work() -> None:
    assert compile_regex("a{0,1000}b").matches("a" * 1000 + "b")
    assert not compile_regex("a{0,1000}b").matches("a" * 1001 + "b")
