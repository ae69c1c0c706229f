from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from bridge.calibrate import Calibration, Dataset, split, stream
from bridge.errors import InputError, UsageError
from bridge.types import TensorSpec

X, IDS = TensorSpec("x", (1, 2, 3), "float32"), TensorSpec("ids", ("N", 4), "int64")
VALUES = np.random.default_rng(0).standard_normal((7, 2, 3)).astype(np.float32)
TOKENS = np.arange(28, dtype=np.int64).reshape(7, 4)


def read(elements: object, *inputs: TensorSpec, limit: int | None = None) -> Dataset:
    return Calibration.from_iterable(elements, limit=limit).dataset(inputs or (X,))  # type: ignore[arg-type]  # some are meant to be wrong


def values(dataset: Dataset, name: str = "x") -> np.ndarray:
    return np.stack([sample[name] for sample in dataset])


@dataclass
class FakeTensor:
    """As a PyTorch tensor on a device and in a graph: NumPy gets it only by this way."""

    array: np.ndarray
    where: str = "graph"

    def detach(self) -> "FakeTensor":
        return FakeTensor(self.array, "device")

    def cpu(self) -> "FakeTensor":
        assert self.where == "device"
        return FakeTensor(self.array, "host")

    def numpy(self) -> np.ndarray:
        assert self.where == "host"
        return self.array


@dataclass
class FakeEagerTensor:
    """As a TensorFlow tensor."""

    array: np.ndarray

    def numpy(self) -> np.ndarray:
        return self.array


def test_a_generator_of_samples_is_read_once_and_iterated_often() -> None:
    pulled: list[int] = []

    def generate() -> Iterator[np.ndarray]:
        for position, value in enumerate(VALUES):
            pulled.append(position)
            yield value

    found = read(generate())
    assert pulled == list(range(7))
    for _ in range(2):
        np.testing.assert_array_equal(values(found), VALUES[:, None])
    assert len(found) == 7
    assert found.source == "generator"
    assert [len(part) for part in split(found, holdout=0.25)] == [5, 2]


@pytest.mark.parametrize("sizes", [[7], [3, 3, 1], [1] * 7])
def test_batches_are_split_into_samples(sizes: Sequence[int]) -> None:
    batches = np.split(VALUES, np.cumsum(sizes)[:-1])
    np.testing.assert_array_equal(values(read(batches)), VALUES[:, None])


def test_a_batch_axis_of_one_is_no_second_axis() -> None:
    np.testing.assert_array_equal(values(read([value[None] for value in VALUES])), VALUES[:, None])


def test_dicts_are_read_by_name_and_labels_are_taken_along() -> None:
    found = read(
        [{"ids": TOKENS[:4], "x": VALUES[:4], "label": np.arange(4)}, {"x": VALUES[4:], "ids": TOKENS[4:], "label": [4, 5, 6], "more": 1}], X, IDS
    )
    np.testing.assert_array_equal(values(found), VALUES[:, None])
    np.testing.assert_array_equal(values(found, "ids"), TOKENS[:, None])
    assert found.labels is not None
    assert found.labels.tolist() == list(range(7))


def test_tuples_hold_the_inputs_in_order_and_then_labels() -> None:
    found = read(((VALUES[at], TOKENS[at], np.int64(at)) for at in range(7)), X, IDS)
    np.testing.assert_array_equal(values(found, "ids"), TOKENS[:, None])
    assert found.labels is not None
    assert found.labels.tolist() == list(range(7))
    nested = read([((VALUES, TOKENS), np.arange(7)[:, None])], X, IDS)
    assert nested.labels is not None
    assert nested.labels.tolist() == list(range(7))


@pytest.mark.parametrize("target", [np.zeros((7, 4), np.int64), np.zeros(7, np.float32), [{"boxes": 1}] * 7, "text", None], ids=str)
def test_targets_that_are_no_classes_are_left_out(target: object) -> None:
    assert read([(VALUES, target)]).labels is None


def test_labels_of_some_samples_only_are_left_out() -> None:
    assert read([(VALUES[:4], np.arange(4)), (VALUES[4:], None)]).labels is None


def test_tensors_of_pytorch_and_tensorflow_are_arrays() -> None:
    loader = [(FakeTensor(VALUES[:5]), FakeTensor(np.arange(5))), (FakeTensor(VALUES[5:]), FakeTensor(np.arange(5, 7)))]
    found = Calibration.from_dataloader(loader).dataset((X,))
    np.testing.assert_array_equal(values(found), VALUES[:, None])
    assert found.labels is not None
    assert (found.labels.tolist(), found.source) == (list(range(7)), "DataLoader")
    found = Calibration.from_tf_dataset([{"x": FakeEagerTensor(value)} for value in VALUES]).dataset((X,))
    np.testing.assert_array_equal(values(found), VALUES[:, None])
    assert found.source == "tf.data.Dataset"


def test_a_real_dataloader_is_read() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is an extra")
    data = torch.utils.data.TensorDataset(torch.from_numpy(VALUES), torch.arange(7))
    found = Calibration.from_dataloader(torch.utils.data.DataLoader(data, batch_size=3)).dataset((X,))
    np.testing.assert_array_equal(values(found), VALUES[:, None])
    assert found.labels is not None
    assert found.labels.tolist() == list(range(7))


def test_a_real_tf_dataset_is_read() -> None:
    tf = pytest.importorskip("tensorflow", reason="TensorFlow is an extra")
    found = Calibration.from_tf_dataset(tf.data.Dataset.from_tensor_slices((VALUES, np.arange(7))).batch(3)).dataset((X,))
    np.testing.assert_array_equal(values(found), VALUES[:, None])
    assert found.labels is not None
    assert found.labels.tolist() == list(range(7))


def test_lists_of_numbers_are_arrays() -> None:
    found = read([[1, 2, 3, 4], [5, 6, 7, 8]], IDS)
    assert values(found, "ids").tolist() == [[[1, 2, 3, 4]], [[5, 6, 7, 8]]]


@pytest.mark.parametrize(("limit", "expected"), [(1, 1), (4, 4), (7, 7), (100, 7)])
def test_a_limit_ends_even_an_endless_stream(limit: int, expected: int) -> None:
    endless: object = (VALUES for _ in iter(int, 1)) if limit < 7 else [VALUES[:5], VALUES[5:]]
    found = read(endless, limit=limit)
    np.testing.assert_array_equal(values(found), VALUES[:expected, None])


def test_a_stream_without_an_end_is_refused_before_the_disk_is_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "MAX_BYTES", 10_000)
    with pytest.raises(InputError, match=r"generator: \d+ samples take .* more than is kept in") as caught:
        read(VALUES for _ in iter(int, 1))
    assert "give a limit" in caught.value.hint


def raising() -> Iterator[np.ndarray]:
    yield VALUES[0]
    raise KeyError("no such file")


@pytest.mark.parametrize(
    ("elements", "message"),
    [
        ([], "there is no sample in it"),
        ([VALUES.astype(np.float64)], r"element 0: array 'x' must be float32. Received: float64"),
        ([VALUES.transpose(0, 2, 1)], r"element 0: array 'x' must have shape \[samples, 2, 3\]"),
        ([VALUES[:1], VALUES[1:].astype(np.float64)], r"element 1: 'x' must be like in the elements before it, float32 \[2, 3\]. Received: float64"),
        ([VALUES * np.nan], "NaN or infinity"),
        ([VALUES[0], VALUES[1] * np.inf], "NaN or infinity in sample 1"),
        ([{"y": VALUES}], "element 0: no 'x' for the model input of that name. Received: 'y'"),
        ([(VALUES, 1, 2)], r"the model has 1 inputs: x. Received: a tuple of 3"),
        (["text"], "no array of numbers. Received: str"),
        ([object()], "no array of numbers. Received: object"),
        ([{"x": [[1.0], [1.0, 2.0]]}], "element 0: 'x': no array: ValueError"),
        (raising(), "generator: iterating it raised KeyError: 'no such file'"),
    ],
)
def test_what_does_not_fit_is_named(elements: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(elements)


def test_inputs_of_one_element_have_one_number_of_samples() -> None:
    with pytest.raises(InputError, match="element 0: every input needs the same number of samples"):
        read([{"x": VALUES[:3], "ids": TOKENS[:2]}], X, IDS)


def test_a_model_with_several_inputs_needs_their_names() -> None:
    with pytest.raises(InputError, match=r"the model has 2 inputs: x, ids. Received: ndarray without names"):
        read([VALUES], X, IDS)


@pytest.mark.parametrize("wrong", ["calib.npz", {"x": VALUES}, 3])
def test_what_cannot_be_iterated_is_refused_at_once(wrong: object) -> None:
    with pytest.raises(UsageError, match="Samples are iterated"):
        Calibration.from_iterable(wrong)  # type: ignore[arg-type]  # wrong on purpose
