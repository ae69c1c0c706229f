import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bridge.calibrate import array_files
from bridge.calibrate.array_files import open_arrays
from bridge.errors import InputError

VALUES = np.arange(24, dtype=np.float32).reshape(4, 2, 3)


def test_the_rows_of_an_uncompressed_array_stay_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, x=VALUES, y=VALUES * 2)
    rows = open_arrays(path)["y"].read(3)
    path.rename(tmp_path / "moved.npz")
    assert not isinstance(rows, np.ndarray)
    assert not rows[0].flags.writeable
    np.testing.assert_array_equal([rows[0], rows[1], rows[-1]], VALUES[:3] * 2)
    with pytest.raises(IndexError):
        rows[3]
    np.testing.assert_array_equal(rows, VALUES[:3] * 2)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(rows)), VALUES[:3] * 2)


def test_a_file_that_becomes_shorter_while_it_is_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, VALUES)
    rows = open_arrays(path)[""].read(4)
    path.write_bytes(path.read_bytes()[:-1])
    np.testing.assert_array_equal(rows[2], VALUES[2])
    with pytest.raises(InputError, match="became shorter"):
        rows[3]


@pytest.mark.parametrize("count", [1, 4])
def test_a_compressed_array_gives_its_first_rows(tmp_path: Path, count: int) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=VALUES)
    np.testing.assert_array_equal(open_arrays(path)["x"].read(count), VALUES[:count])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_fortran_order_is_understood(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "data.npz"
    save(path, x=np.asfortranarray(VALUES))
    np.testing.assert_array_equal(open_arrays(path)["x"].read(2), VALUES[:2])


def test_so_do_those_of_an_npy_file(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, VALUES)
    array = open_arrays(path)[""].read(2)
    assert not isinstance(array, np.ndarray)
    np.testing.assert_array_equal(array, VALUES[:2])


@pytest.mark.parametrize("name", ["data.npz", "data.npy"])
def test_python_objects_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    values = np.array([{"a": 1}, None], object)
    if name.endswith("z"):
        np.savez(path, allow_pickle=True, x=values)
    else:
        np.save(path, values, allow_pickle=True)
    with pytest.raises(InputError, match="Python objects or records, which are never loaded"):
        open_arrays(path)


def test_an_array_that_would_unpack_to_too_much_is_refused_before_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, x=np.zeros((1000, 1000), np.float32))
    monkeypatch.setattr(array_files, "MAX_UNPACKED_BYTES", 1 << 20)
    with pytest.raises(InputError, match="would unpack to") as caught:
        open_arrays(path)
    assert "numpy.savez instead" in caught.value.hint


def _npy_header(shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.provokes("data-unsafe")
def test_a_header_that_promises_more_than_the_member_holds_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", _npy_header((1 << 40, 1 << 10)) + b"\0" * 16)
    with pytest.raises(InputError, match="takes 4503599627370624 bytes, the file says 144"):
        open_arrays(path)


def test_an_npy_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, VALUES)
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(InputError, match="cut off"):
        open_arrays(path)[""].read(1)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_flipped_bit_is_found_by_the_checksum(tmp_path: Path, save: Callable[..., None]) -> None:
    path = tmp_path / "data.npz"
    save(path, x=np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="is damaged"):
        open_arrays(path)["x"].read(64)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", b"\x93NUMPY\x01\x00\xff\xff"])
@pytest.mark.parametrize("name", ["data.npz", "data.npy"])
def test_what_is_no_array_file_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match="not a readable"):
        open_arrays(path)


@pytest.mark.provokes("data-unreadable")
def test_a_header_that_is_no_python_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npy"
    np.save(path, VALUES)
    path.write_bytes(path.read_bytes().replace(b"'descr'", b"'descr\0"))
    with pytest.raises(InputError, match="not a readable"):
        open_arrays(path)


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"data files are .npz or .npy. Received: .csv"):
        open_arrays(tmp_path / "data.csv")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        open_arrays(tmp_path / "data.npz")


def test_too_many_arrays_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(array_files, "MAX_ARRAYS", 1)
    path = tmp_path / "data.npz"
    np.savez(path, x=VALUES, y=VALUES)
    with pytest.raises(InputError, match="at most 1 arrays"):
        open_arrays(path)
