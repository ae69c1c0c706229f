import pytest

from bridge.report import wording


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain/name.0", "plain/name.0"),
        ("two\nlines", "two\\nlines"),
        ("\x1b[31mred\x00\x9b", "\\x1b[31mred\\x00\\x9b"),
        ("\u202edlrow", "\\u202edlrow"),
        ("a\u2028b\ufffe", "a\\u2028b\\ufffe"),
        ("\ud800", "\\ud800"),
        ("Größe 日本", "Größe 日本"),
    ],
)
def test_unprintable_characters_are_spelt_out(text: str, shown: str) -> None:
    assert wording.visible(text) == shown
    assert wording.visible(text).isprintable()


def test_a_long_name_keeps_both_ends() -> None:
    shown = wording.visible("start" + "x" * 10_000 + "end", 40)
    assert (len(shown), shown[:5], shown[-3:]) == (39, "start", "end")
    assert wording.visible("x" * 40, 40) == "x" * 40


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (wording.decibel(24.649), "24.6 dB"),
        (wording.decibel(float("inf")), "∞ dB"),
        (wording.decibel(float("-inf")), "-∞ dB"),
        (wording.decibel(float("nan")), "NaN dB"),
        (wording.decibel(None), "-"),
        (wording.significant(1.23456e-7), "1.23e-07"),
        (wording.significant(float("nan")), "NaN"),
        (wording.percent(0.985), "98.5 %"),
        (wording.percent(None), "-"),
        (wording.size(999), "999 B"),
        (wording.size(1000), "1.00 kB"),
        (wording.size(4_200_000), "4.20 MB"),
        (wording.size(2_500_000_000_000), "2500.00 GB"),
        (wording.size(0), "0 B"),
        (wording.size(None), "-"),
        (wording.milliseconds(1.4), "1.40 ms"),
        (wording.milliseconds(None), "-"),
        (wording.times(3.0), "3.00x"),
        (wording.times(None), "-"),
        (wording.shape((1, 3, 224, 224)), "1 x 3 x 224 x 224"),
        (wording.shape(()), "scalar"),
    ],
)
def test_numbers_are_spelt_the_same_in_every_format(shown: str, expected: str) -> None:
    assert shown == expected


@pytest.mark.parametrize(("ms", "text"), [(None, "-"), (0.0071, "7 µs"), (0.0999, "100 µs"), (0.1, "0.10 ms"), (12.345, "12.35 ms")])
def test_short_times_are_in_microseconds(ms: float | None, text: str) -> None:
    assert wording.duration(ms) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [("a/b/net.onnx", "net.onnx"), ("C:\\models\\net.onnx", "net.onnx"), ("saved_model/", "saved_model"), ("Net", "Net"), ("/", "/")],
)
def test_a_path_ends_with_its_file(path: str, text: str) -> None:
    assert wording.base_name(path) == text
