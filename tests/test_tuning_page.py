"""What docs/tuning.md shows runs, from top to bottom; every option is named."""

import contextlib
import io
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from bridge.cli import main
from bridge.cli_commands import app

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "digits_cnn_bn_silu"
PAGE = (ROOT / "docs" / "tuning.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_commands_and_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in ("model.onnx", "calibration.npz", "evaluation.npz"):
        shutil.copy(MODEL / file, tmp_path / file)
    commands = [line for kind, text in BLOCKS if not kind for line in text.splitlines()]
    assert [command.split()[1] for command in commands] == ["sensitivity", "sensitivity", "tune"]
    for command in commands:
        with pytest.raises(SystemExit) as end:
            main(shlex.split(command)[1:])
        assert end.value.code == 0
    (snippet,) = (text for kind, text in BLOCKS if kind == "python")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(snippet, "docs/tuning.md", "exec"), {})  # the page's own
    assert re.fullmatch(r"/\S+ \d+\.\d+ -?\d+\.\d+\n", said.getvalue())
    for folder, names in (
        ("ranked", ("sensitivity.json", "sensitivity.csv", "sensitivity.html")),
        ("tuned", ("tune.json", "tune.html", "tune.md", "rules.toml")),
    ):
        assert all((tmp_path / folder / name).is_file() for name in names)


def test_every_option_of_the_commands_is_named() -> None:
    group = typer.main.get_command(app)
    for name in ("sensitivity", "tune"):
        for parameter in group.commands[name].params:  # type: ignore[attr-defined]  # a group of commands
            option = next((one for one in parameter.opts if one.startswith("--")), None)
            if option not in (None, "--help", "--output", "--calibration", "--evaluation"):
                assert f"`{option}" in PAGE, option
