from pathlib import Path
from types import MappingProxyType

import pytest

import bridge
from bridge.errors import UsageError
from bridge.report.schema import Report


def _result(folder: Path, report: Report) -> bridge.ConversionResult:
    (folder / "m.float32.tflite").write_bytes(b"TFL3")
    (folder / "report.json").write_text(report.to_json())
    return bridge.ConversionResult(report, folder, MappingProxyType({"float32": folder / "m.float32.tflite"}))


@pytest.fixture
def report() -> Report:
    text = Path(__file__).parent / "snapshots" / "report.json"
    return Report.from_json(text.read_bytes())


def test_saving_copies_every_file(tmp_path: Path, report: Report) -> None:
    (tmp_path / "run").mkdir()
    saved = _result(tmp_path / "run", report).save(tmp_path / "kept")
    assert sorted(path.name for path in saved.iterdir()) == ["m.float32.tflite", "report.json"]


def test_saving_where_the_results_are_changes_nothing(tmp_path: Path, report: Report) -> None:
    assert _result(tmp_path, report).save(tmp_path) == tmp_path
    assert (tmp_path / "m.float32.tflite").read_bytes() == b"TFL3"


def test_saving_spares_other_files(tmp_path: Path, report: Report) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    with pytest.raises(UsageError, match="holds other files"):
        _result(tmp_path / "run", report).save(tmp_path / "mine")


def test_results_that_are_gone_cannot_be_saved(tmp_path: Path, report: Report) -> None:
    with pytest.raises(UsageError, match="no longer there"):
        bridge.ConversionResult(report, tmp_path / "gone", MappingProxyType({})).save(tmp_path / "kept")


def test_notebooks_show_the_report_in_a_frame_of_its_own(tmp_path: Path, report: Report) -> None:
    shown = _result(tmp_path, report)._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html') or shown.lower().startswith('<iframe srcdoc="&lt;!doctype html')
    assert shown.count("<") == 2  # the frame alone: the page inside of it is escaped
