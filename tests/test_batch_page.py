"""What docs/batch.md says can be done."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from bridge.batch import model_list
from bridge.cli import main

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "models" / "digits_cnn_bn_silu"
PAGE = (ROOT / "docs" / "batch.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


def test_the_list_and_its_command_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a small model, whose only input is not that of the page."""
    monkeypatch.chdir(tmp_path)
    (example,) = (text for kind, text in BLOCKS if kind == "toml")
    (tmp_path / "models.toml").write_text(example)
    (tmp_path / "zoo").mkdir()
    (tmp_path / "data").mkdir()
    for stem in ("kws", "minilm"):
        shutil.copy(MODEL / "model.onnx", tmp_path / "zoo" / f"{stem}.onnx")
        shutil.copy(MODEL / "calibration.npz", tmp_path / "data" / f"{stem}.npz")
    (command,) = (text.strip() for kind, text in BLOCKS if not kind and "--batch" in text)
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(command)[1:], "--no-compare", "--no-recover", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["exit_code"], row["precision"]) for row in rows] == [
        ("kws", 0, "static_wi8_ai8"),
        ("minilm", 2, ""),
        ("kws-int16", 0, "static_wi8_ai16"),
    ]
    assert "The model has no input 'input_ids', 'attention_mask'" in rows[1]["error"]
    assert ended.value.code == 2


def test_all_keys_of_a_list_are_named() -> None:
    (sentence,) = re.findall(r"^The keys are (.*)\.$", PAGE, re.MULTILINE)
    assert re.findall(r"`(\w+)`", sentence) == list(model_list.Entry.model_fields)
