from pathlib import Path

import numpy as np
import pytest

from bridge.calibrate import Calibration, Dataset
from bridge.errors import InputError, UsageError
from bridge.samples import find_sources
from bridge.types import TensorSpec

X = TensorSpec("x", (1, 2), "float32")
MODULE = """
import numpy as np

VALUES = np.arange(6, dtype=np.float32).reshape(3, 2)
number = 3


def by_name():
    return {"x": VALUES, "labels": np.array([2, 1, 0])}


def array():
    return VALUES


def samples():
    yield from VALUES


def fails():
    raise RuntimeError("the data set is not there")


def text():
    return "calib.npz"


class Data:
    @staticmethod
    def train():
        return [VALUES]
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "calibration_data_for_tests.py").write_text(MODULE)
    (tmp_path / "broken_data_for_tests.py").write_text("1 / 0")
    (tmp_path / "importing_data_for_tests.py").write_text("import a_package_that_is_not_there")
    return tmp_path


def opened(name: str) -> Dataset:
    return Calibration.find(name).dataset((X,))


@pytest.mark.parametrize("function", ["by_name", "array", "samples", "Data.train"])
@pytest.mark.parametrize("module", ["calibration_data_for_tests", "calibration_data_for_tests.py", "./calibration_data_for_tests.py"])
def test_a_function_gives_arrays_or_yields_samples(module: str, function: str) -> None:
    found = opened(f"{module}:{function}")
    np.testing.assert_array_equal([sample["x"] for sample in found], np.arange(6, dtype=np.float32).reshape(3, 1, 2))
    assert (found.labels is not None) == (function == "by_name")
    assert found.source == f"{module}:{function}"


def test_a_function_may_be_given_itself() -> None:
    found = Calibration.from_callable(lambda: [np.zeros((5, 2), np.float32)], limit=4).dataset((X,))
    assert len(found) == 4


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_for_tests:f", "There is no module 'no_such_module_for_tests'"),
        ("calibration_data_for_tests:sample", "has no function 'sample', did you mean 'samples'?"),
        ("calibration_data_for_tests:number", "is no function. Received: int"),
        ("calibration_data_for_tests:fails", "calibration_data_for_tests:fails raised RuntimeError: the data set is not there"),
        ("calibration_data_for_tests:text", "gives no samples. Received: str"),
        ("broken_data_for_tests:f", "Importing broken_data_for_tests raised ZeroDivisionError"),
        ("importing_data_for_tests:f", "importing_data_for_tests imports 'a_package_that_is_not_there', which is not installed"),
        ("none.py:f", "none.py: there is no such file"),
        ("module:", "'module:' names no function"),
    ],
)
def test_what_is_wrong_with_a_function_is_said(name: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        opened(name)
    assert message in caught.value.message


def test_a_folder_needs_a_preprocessing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="pictures need a preprocessing") as caught:
        Calibration.find(tmp_path)
    assert "--preprocess imagenet, imagenet-tf" in caught.value.hint


def test_a_preprocessing_needs_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"A preprocessing is for folders of pictures. Received: calib.npz"):
        find_sources("calib.npz", None, preprocess="unit")
    folder, file, none = find_sources(tmp_path, "calib.npz", None, preprocess="unit")
    assert folder is not None
    assert file is not None
    assert none is None


def test_a_file_is_a_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "calib.npz", x=np.zeros((3, 2), np.float32))
    assert len(opened("calib.npz")) == 3
    with pytest.raises(InputError, match=r"missing.npz: cannot be read"):
        opened("missing.npz")
