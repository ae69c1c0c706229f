"""Runs files on several samples at once where they treat each on its own: a small file takes longer to start than to compute."""

import functools
from collections.abc import Callable, Mapping, Sequence
from itertools import batched

import numpy as np
from msgspec import Struct

from bridge.errors import ToolError
from bridge.tflite import model as tflite
from bridge.tflite import parallel
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.parallel import Stream
from bridge.tflite.run_file import LARGE, RunFile

type Feeds = Mapping[str, np.ndarray]
type Outputs = list[np.ndarray]

SIZES = (8, 4, 2)  # of batches; still larger ones gain nothing
MOST_WORK = 64e6  # of a batch, in multiply-accumulates: starting that is little beside computing it, and memory stays small
LARGE_KEPT = 16 << 20  # bytes of a file that is opened once and not for each thread: less than elsewhere, since several stay open
TOLERANCE = 1e-4  # of the largest value: other kernels may add up in another order, mixed samples are far off


class Batch(Struct, frozen=True, eq=False):
    """Samples that a file is fed at once.

    Attributes:
        feeds: they lie along the first axis of every input; a sample that is alone has the shapes of the file.
        samples: how many they are.
        size: how many it is fed; what is more is the last one again, so that no interpreter of its own is opened for a smaller batch.
    """

    feeds: Feeds
    samples: int
    size: int

    def each(self) -> list[Feeds]:
        """Views of the single samples."""
        return [self.feeds if self.size == 1 else {name: value[at : at + 1] for name, value in self.feeds.items()} for at in range(self.samples)]

    def cut(self, values: np.ndarray) -> np.ndarray:
        """Of an output the rows of the samples."""
        return values[: len(values) * self.samples // self.size] if self.samples < self.size else values


def joined(feeds: Sequence[Feeds], size: int) -> list[Batch]:
    """Batches of so many samples."""
    if size == 1:
        return [Batch(one, 1, 1) for one in feeds]
    filled = ((group, [*group, *[group[-1]] * (size - len(group))]) for group in batched(feeds, size))
    return [Batch({name: np.concatenate([one[name] for one in fed]) for name in fed[0]}, len(group), size) for group, fed in filled]


def batch_size(work: float, samples: int) -> int:
    """How many samples a file had better take at once where it can.

    Args:
        work: of one sample.
        samples: as many as there are.
    """
    return next((size for size in SIZES if size <= samples and size * work <= MOST_WORK), 1)


class Runner:
    """A file that is opened once for each thread and size of batches; batches run side by side, one thread each.

    Args:
        model: the file.
        threads: at most so many.

    Raises:
        ToolError: LiteRT refuses the file.
    """

    def __init__(self, model: bytes | RunFile, *, threads: int) -> None:
        self._model = model
        size = model.size if isinstance(model, RunFile) else len(model)
        copies = 1 if size > LARGE_KEPT else max(1, threads)  # each packs all weights for itself
        self._opened: list[dict[int, Interpreter]] = [{} for _ in range(copies)]

    def run(self, batches: Sequence[Batch]) -> list[Outputs]:
        """Outputs for each batch."""
        found: list[Outputs] = [[] for _ in batches]
        self.each(batches, found.__setitem__)
        return found

    def each(self, batches: Sequence[Batch], take: Callable[[int, Outputs], None]) -> None:
        """Calls a function with the position of each batch and its outputs, on the thread that ran it."""

        def work(opened: dict[int, Interpreter], stream: Stream) -> None:
            for position, _ in stream:
                batch = batches[position]
                if batch.size not in opened:
                    opened[batch.size] = Interpreter(self._model, batch=batch.size, kept_mapped=LARGE)
                take(position, [batch.cut(values) for values in opened[batch.size].run(batch.feeds)])

        tasks = [functools.partial(work, opened) for opened in self._opened[: max(1, len(batches))]]
        parallel.run(tasks, Stream((batch.feeds for batch in batches), lambda _: None))


def free_batch_axis(model: tflite.ModelT) -> bool:
    """Lets the first axis of every input grow: what is reshaped to one sample is reshaped to as many as there are.

    Args:
        model: its lists are changed; what is in them stays as it is.

    Returns:
        Whether inputs and outputs have such an axis. Whether the operators keep samples apart only a run shows: `keeps_samples_apart`.
    """
    main = tflite.main_graph(model)
    if any(tflite.shape(main.tensors[int(tensor)])[:1] != (1,) for tensor in (*main.inputs, *main.outputs)):
        return False
    for op in main.operators:
        if tflite.op_name(model, op) == "RESHAPE" and len(op.inputs) > 1 and tflite.is_constant(model, main.tensors[int(op.inputs[1])]):
            target = tflite.shallow_copy(main.tensors[int(op.inputs[1])])
            sizes = tflite.integers(model, target).copy()
            if sizes[:1] == 1 and not (sizes < 0).any():
                sizes[0] = -1
                target.buffer = tflite.add_buffer(model, sizes)
                main.tensors[int(op.inputs[1])] = target
    return True


def keeps_samples_apart(model: bytes | RunFile, feeds: Sequence[Feeds]) -> bool:
    """Whether a file gives for several samples at once what it gives for each of them."""
    alone = Runner(model, threads=1).run(joined(feeds, 1))
    try:
        ((*together,),) = Runner(model, threads=1).run(joined(feeds, len(feeds)))
    except ToolError:
        return False
    for values, singles in zip(together, zip(*alone, strict=True), strict=True):
        expected = np.concatenate(singles)
        if values.shape != expected.shape or not np.allclose(values, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(initial=0)):
            return False
    return True
