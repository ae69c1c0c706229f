"""Settings of a folder: what they say is the default, what the command line says wins."""

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bridge import configuration, pipeline
from bridge.cli import main
from bridge.cli_convert import convert
from bridge.errors import UsageError
from bridge.recovery_names import DEFAULT_RECOVERY


@pytest.fixture
def received(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mapping[str, Any]:
    """What `bridge convert` hands to the API; the conversion itself is left out."""
    seen: dict[str, Any] = {}

    def record(source: object, **options: object) -> object:
        seen.update(options, source=source)
        return SimpleNamespace(report=SimpleNamespace(to_json=lambda: "{}", verdict=SimpleNamespace(passed=True)))

    monkeypatch.setattr(pipeline, "convert", record)
    monkeypatch.chdir(tmp_path)
    return seen


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["convert", "model.onnx", "--json", *arguments])
    return int(ended.value.code or 0)


SETTINGS = """
gate = ["sqnr>=25", "size_ratio<=0.3"]
rules = "transformer"
calibration = "c.npz"
layer-samples = 4
timeout = 10
compare = false
input = ["x=1x3"]
from = "a"
recover = ["adaround"]
"""


@pytest.mark.parametrize(("file", "head"), [("bridge.toml", ""), ("pyproject.toml", "[tool.bridge]")])
def test_settings_are_the_defaults_of_convert(file: str, head: str, tmp_path: Path, received: Mapping[str, Any]) -> None:
    (tmp_path / file).write_text(head + SETTINGS)
    assert run() == 0
    assert received["gates"] == ("sqnr>=25", "size_ratio<=0.3")
    assert received["rules"] == ("default", "transformer")
    assert (received["calibration"], received["layer_samples"], received["timeout_s"], received["compare"]) == ("c.npz", 4, 10.0, False)
    assert (received["input_shapes"], received["start"], received["recover"]) == ({"x": (1, 3)}, ("a",), ("adaround",))


def test_the_command_line_wins(tmp_path: Path, received: Mapping[str, Any]) -> None:
    (tmp_path / "bridge.toml").write_text(SETTINGS)
    assert run("--gate", "cosine>=0.9", "--compare", "--layer-samples", "8", "--no-recover") == 0
    assert (received["gates"], received["compare"], received["layer_samples"], received["recover"]) == (("cosine>=0.9",), True, 8, ())
    (tmp_path / "bridge.toml").write_text("no_recover = true")
    assert run("--recover", "adaround") == 0
    assert received["recover"] == ("adaround",)
    assert run() == 0
    assert received["recover"] == ()


def test_without_settings_nothing_changes(tmp_path: Path, received: Mapping[str, Any]) -> None:
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "mine"\n[tool.ruff]\nline-length = 100\n')
    assert run() == 0
    assert (received["gates"], received["recover"]) == ((), DEFAULT_RECOVERY)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("gates = []", "bridge.toml: gates: there is no such option.", "Did you mean 'gate'?"),
        ("zzz = 1", "bridge.toml: zzz: there is no such option.", "Known keys: baseline, batch, calibration, "),
        ("model = 'm.onnx'", "bridge.toml: model: there is no such option.", ""),
        ("layer_samples = 'many'", "bridge.toml: layer_samples: Input should be a valid integer", ""),
        ("threads = true", "bridge.toml: threads: Input should be a valid integer. Received: True.", ""),
        ("gate = 3", "bridge.toml: gate: Input should be a valid list. Received: 3.", ""),
        ("input_layout = 'nchw'", "bridge.toml: input_layout: Input should be 'auto', 'keep' or 'nhwc'. Received: 'nchw'.", ""),
        ("[gate", "bridge.toml: cannot be read: ", ""),
    ],
)
def test_what_a_file_says_wrongly_is_one_sentence(
    text: str, message: str, hint: str, tmp_path: Path, received: Mapping[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bridge.toml").write_text(text)
    assert run() == 2
    said = capsys.readouterr().err
    assert message in said
    assert hint in said
    assert received == {}


def test_two_files_with_settings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "bridge.toml").write_text("seed = 1")
    (tmp_path / "pyproject.toml").write_text("[tool.bridge]\nseed = 2")
    with pytest.raises(UsageError, match="both have settings"):
        configuration.read(tmp_path)


def test_a_bridge_that_is_no_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool]\nbridge = 3")
    with pytest.raises(UsageError, match=r"tool\.bridge is no table\. Received: 3"):
        configuration.read(tmp_path)


def test_every_option_of_convert_has_a_key() -> None:
    known = configuration.Configuration("x: ", {"nothing_like_it": 1})
    with pytest.raises(UsageError) as caught:
        configuration.defaults(known, convert)
    for key in ("custom_ops", "no_default_rules", "from", "to", "input", "output", "gate", "ranges", "seed"):
        assert key in caught.value.hint.removesuffix(".").removeprefix("Known keys: ").split(", ")
