import json
from pathlib import Path
from types import MappingProxyType

import pytest
from msgspec.structs import replace

from bridge.calibrate import read_ranges, write_ranges
from bridge.errors import InputError
from bridge.types import Diagnostic, RangeChoice, Ranges, Spread, TensorRange

DIGEST = "a" * 64
RANGES = Ranges(
    tensors=MappingProxyType({"b/conv": TensorRange(-0.1, 3.0000001), "a": TensorRange(0.0, 0.0)}),
    samples=3,
    source="calib.npz",
    model_sha256=DIGEST,
    warnings=(Diagnostic("few-calibration-samples", "warning", "3 are few", "Add samples."),),
    own_sqnr_db={"b": 12.5},
    spreads={"a": Spread(0.0, 0.0), "b/conv": Spread(0.5, 1.25)},
    observer="percentile:99.9",
    choices={"b/conv": RangeChoice(observer="mse", clip=(-1.0, 1.0))},
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    assert write_ranges(path, RANGES) == write_ranges(path, RANGES)
    back = read_ranges(path, model_sha256=DIGEST)
    assert back == RANGES
    assert list(back.tensors) == ["b/conv", "a"]


def test_the_format_is_this(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    write_ranges(path, RANGES)
    assert json.loads(path.read_text()) == {
        "schema_version": 1,
        "model_sha256": DIGEST,
        "samples": 3,
        "source": "calib.npz",
        "warnings": [{"code": "few-calibration-samples", "severity": "warning", "message": "3 are few", "hint": "Add samples.", "node": None}],
        "tensors": {"b/conv": [-0.1, 3.0000001], "a": [0.0, 0.0]},
        "own_sqnr_db": {"b": 12.5},
        "spreads": {"a": [0.0, 0.0], "b/conv": [0.5, 1.25]},
        "observer": "percentile:99.9",
        "choices": {"b/conv": {"observer": "mse", "fixed": None, "clip": [-1.0, 1.0]}},
    }


def test_a_file_from_before_observers_could_be_chosen_is_read(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    write_ranges(path, RANGES)
    content = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in content.items() if key not in ("observer", "choices")}))
    assert read_ranges(path, model_sha256=DIGEST) == replace(RANGES, observer="min_max", choices={})


def test_ranges_of_another_model_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "ranges.json"
    write_ranges(path, RANGES)
    with pytest.raises(InputError, match=r"belong to another float model. Received: aaaaaaaaaaaa..., needed: bbbbbbbbbbbb"):
        read_ranges(path, model_sha256="b" * 64)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version: Input should be 1"),
        ({"samples": "many"}, "samples: "),
        ({"tensors": {"a": [0.0]}}, r"tensors.a"),
        ({"tensors": {"a": [0.0, "NaN"]}}, r"tensors.a.1: "),
        ({"tensors": {"a": [2.0, 1.0]}}, r"tensors.a: the minimum is above the maximum"),
        ({"unknown": 1}, "unknown: "),
        ({"observer": "median"}, "observer: "),
        ({"choices": {"a": {"clip": [0.0]}}}, r"choices.a.clip"),
    ],
)
def test_a_malformed_file_says_where(tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "ranges.json"
    write_ranges(path, RANGES)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(InputError, match=message):
        read_ranges(path, model_sha256=DIGEST)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[1]"])
def test_what_is_no_json_object_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "ranges.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a ranges file"):
        read_ranges(path, model_sha256=DIGEST)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_ranges(tmp_path / "ranges.json", model_sha256=DIGEST)
