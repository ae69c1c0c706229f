"""How the inputs and outputs of a TFLite file belong to those of an ONNX model: by name, by shape, and for outputs by their values."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bridge.compare import metrics
from bridge.compare.candidates import in_layout
from bridge.compare.metrics import ErrorSums
from bridge.compare.outputs import OutputPair
from bridge.errors import InputError
from bridge.tflite import model as tflite
from bridge.types import InputBinding

MAX_PERMUTED_AXES = 6
USUAL_ORDERS: Mapping[int, tuple[tuple[int, ...], ...]] = MappingProxyType(
    {3: ((0, 2, 1),), 4: ((0, 2, 3, 1), (0, 3, 1, 2)), 5: ((0, 2, 3, 4, 1), (0, 4, 1, 2, 3))}
)  # channels first to channels last, and back
DECORATIONS = re.compile(r"^(serving_default_)+|(:\d+)$")  # what TensorFlow's converters add to the names of inputs


def bind_inputs(sample: Mapping[str, np.ndarray], model: tflite.ModelT, *, where: str) -> tuple[InputBinding, ...]:
    """How a sample of the user is fed to each input of a file, in the file's order.

    An input belongs to the user's input of its name (the tensor's or the signature's), else, where no name fits, to the one at its place.
    Its layout follows from the shape.

    Args:
        sample: input name -> array, in the order of the ONNX model's inputs.
        model: the file.
        where: names the file in errors.

    Raises:
        InputError: the file has another number of inputs, or a shape fits in no way or in more than one.
    """
    main = tflite.main_graph(model)
    if len(main.inputs) != len(sample):
        names = ", ".join(tflite.text(main.tensors[index].name) for index in main.inputs)
        raise InputError(f"{where}: the file has {len(main.inputs)} inputs ({names}), the model {len(sample)}: {', '.join(sample)}.")
    found = [_named(model, int(index), sample) for index in main.inputs]
    users = [name or "" for name in found] if all(found) and len(set(found)) == len(found) else list(sample)
    return tuple(_bind(main.tensors[index], user, sample[user], where) for index, user in zip(main.inputs, users, strict=True))


def output_names(model: tflite.ModelT, names: Mapping[str, object]) -> list[str | None]:
    """For each output of a file the model's output of that name, None where no name fits or two outputs claim the same."""
    found = [_named(model, int(index), names) for index in tflite.main_graph(model).outputs]
    return [name if found.count(name) == 1 else None for name in found]


def _named(model: tflite.ModelT, index: int, names: Mapping[str, object]) -> str | None:
    """The user's name of a tensor, if one of its own is that."""
    entries = (entry for signature in model.signatureDefs or () for entry in (*(signature.inputs or ()), *(signature.outputs or ())))
    own = [tflite.text(tflite.main_graph(model).tensors[index].name), *(tflite.text(entry.name) for entry in entries if entry.tensorIndex == index)]
    plain = {_plain(name): name for name in names}
    return next((name for name in own if name in names), None) or next((plain[_plain(name)] for name in own if _plain(name) in plain), None)


def _plain(name: str) -> str:
    return DECORATIONS.sub("", name)


def _bind(tensor: tflite.TensorT, user: str, value: np.ndarray, where: str) -> InputBinding:
    name, shape = tflite.text(tensor.name), tflite.shape(tensor)
    orders = list(_orders(value.shape, shape))
    usual = [order for order in USUAL_ORDERS.get(len(shape), ()) if order in orders]
    if value.shape == shape and not _cubic(shape):
        orders = [tuple(range(len(shape)))]
    elif value.shape != shape and len(usual) == 1:
        orders = usual  # sides that are equal could be swapped as well, but nobody does that
    if not orders:
        raise InputError(
            f"{where}: input {name!r} takes {list(shape)}, the model's {user!r} {list(value.shape)}: no order of the axes makes them the same.",
            hint="Compare files that were made for the same input size.",
        )
    if len(orders) > 1:
        raise InputError(
            f"{where}: input {name!r} takes {list(shape)}, the model's {user!r} {list(value.shape)}: {len(orders)} orders of the axes fit.",
            hint="Compare with `bridge convert`, which knows the layout, or with an input whose sides and channels differ.",
        )
    real = value.dtype.kind == "f" and tflite.dtype(tensor).kind in "iu"
    return InputBinding(user, name, value.shape, orders[0], value.dtype.name if real else tflite.dtype(tensor).name)


def _cubic(shape: Sequence[int]) -> bool:
    """Whether channels first and channels last look the same: the channels are as many as each side has pixels."""
    return len(shape) in (4, 5) and shape[1] > 1 and len(set(shape[1:])) == 1


def _orders(source: Sequence[int], target: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Axis orders p with source[p] == target; axes of size 1 keep their order, as where they stand changes nothing."""
    if len(source) != len(target) or len(source) > MAX_PERMUTED_AXES:
        return
    for order in itertools.permutations(range(len(source))):
        if all(source[axis] == size for axis, size in zip(order, target, strict=True)):
            ones = [axis for axis in order if source[axis] == 1]
            if ones == sorted(ones):
                yield order


def pair_outputs(expected: Mapping[str, np.ndarray], received: Sequence[np.ndarray], names: Sequence[str | None], *, where: str) -> list[OutputPair]:
    """Which output of a file is which of the model's: of its name, else the one whose values are nearest.

    Args:
        expected: the model's outputs for one sample, in its order.
        received: real values of the file's outputs for it.
        names: the user's name of each of the file's outputs, None when unknown.
        where: names the file in errors.

    Raises:
        InputError: an output has no counterpart of its size.
    """
    choices: list[tuple[float, int, str, int, tuple[int, ...]]] = []
    for name, value in expected.items():
        places = [names.index(name)] if name in names else [place for place, known in enumerate(names) if known is None or known not in expected]
        for place in places:
            for permutation in _layouts(received[place].shape, value.shape):
                choices.append((_distance(value, received[place], permutation, name), len(choices), name, place, permutation))
    found: dict[str, OutputPair] = {}
    taken: set[int] = set()
    for _, _, name, place, permutation in sorted(choices):
        if name not in found and place not in taken:
            found[name] = OutputPair(name, expected[name].shape, place, permutation)
            taken.add(place)
    for name, value in expected.items():
        if name not in found:
            shapes = ", ".join(str(list(output.shape)) for output in received)
            raise InputError(f"{where}: no output fits the model's {name!r} of shape {list(value.shape)}. Received: {shapes}.")
    return [found[name] for name in expected]


def _layouts(shape: Sequence[int], wanted: Sequence[int]) -> list[tuple[int, ...]]:
    """Axis orders of a TFLite shape that give the ONNX shape, at least up to axes of size 1; as it stands if only the size agrees."""
    if np.prod(shape, dtype=np.int64) != np.prod(wanted, dtype=np.int64):
        return []
    target = [size for size in wanted if size != 1]
    axes = range(len(shape))
    ones = tuple(axis for axis in axes if shape[axis] == 1)
    rest = [axis for axis in axes if shape[axis] != 1]
    if len(rest) > MAX_PERMUTED_AXES:
        return [tuple(axes)]
    orders = [ones + order for order in itertools.permutations(rest) if [shape[axis] for axis in order] == target]
    return orders or [tuple(axes)]


def _distance(expected: np.ndarray, received: np.ndarray, permutation: Sequence[int], tensor: str) -> float:
    """Smaller is nearer."""
    sums = ErrorSums()
    sums.add(in_layout(expected, received.shape, permutation, tensor=tensor), received)
    return -metrics.sqnr_db(sums)
