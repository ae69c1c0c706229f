"""One pass over the samples: every file opened so that the tensors of some rows show, the rows filled sample by sample."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from msgspec import Struct

from bridge import heap
from bridge.compare.alike import Alike
from bridge.compare.attribution import Counterparts, Cut
from bridge.compare.candidates import open_exposed
from bridge.compare.forms import Feeder, feeder
from bridge.compare.reference import Reference
from bridge.compare.rows import Row
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import Diagnostic, TensorMap

UNCUT = "its operators read a quantized value that the float file does not have"


class Shown(Struct, frozen=True):
    """A file whose tensors can be read after each run.

    Attributes:
        interpreter: of the file with `computed` as its outputs.
        feeder: how samples are fed to it.
        computed: tensors that a run gives, in the order of its outputs.
        fed: tensors that are model inputs -> their names.
    """

    interpreter: Interpreter
    feeder: Feeder
    computed: Sequence[int]
    fed: Mapping[int, str]

    def values(self, sample: Mapping[str, np.ndarray]) -> dict[int, np.ndarray]:
        """Tensor -> value; views that have to be dropped before the next run."""
        feeds = self.feeder(sample)
        views = self.interpreter.run_views(feeds)
        return dict(zip(self.computed, views, strict=True)) | {tensor: feeds[name] for tensor, name in self.fed.items()}


class Files(Struct, frozen=True):
    """What layers are measured on.

    Attributes:
        quantized: path of the quantized file.
        tensor_map: of the float file.
        float: path of the float file, None where only the errors end to end are wanted.
        pairs: what is the same in both files; None without a float file.
    """

    quantized: Path
    tensor_map: TensorMap
    float: Path | None = None
    pairs: Counterparts | None = None


class LayerPass(Struct, frozen=True):
    """All that measures some rows; `measure` takes in one sample after the other, then the rows have their results.

    Attributes:
        reference: the user's model, at least the tensors of the rows shown.
        rows: the mapped pairs.
        quantized: the quantized file end to end; its model outputs are shown too.
        joined: the float file, and behind its tensors those of the quantized file that are computed alone; None without a float file.
        shift: what is added to a tensor of the quantized file to name it in `joined`.
        diagnostics: what had to be done to open the files.
        threads: threads that work on the values.
    """

    reference: Reference
    rows: Sequence[Row]
    quantized: Shown
    joined: Shown | None
    shift: int
    diagnostics: tuple[Diagnostic, ...]
    threads: int

    def measure(self, samples: Iterable[tuple[str, Mapping[str, np.ndarray]]], progress: Callable[[int], None]) -> None:
        """Takes in the samples by name; each model runs once for each."""
        parts = [Alike(self.rows[start :: self.threads]) for start in range(self.threads)]
        with ThreadPoolExecutor(max_workers=self.threads) as pool:
            for name, sample in samples:
                self._measure_one(name, sample, parts, pool)
                progress(1)
        for part in parts:
            part.settle()

    def _measure_one(self, name: str, sample: Mapping[str, np.ndarray], parts: Sequence[Alike], pool: ThreadPoolExecutor) -> None:
        expected = pool.submit(self.reference.run, sample, dict.fromkeys(row.pair.tensor for row in self.rows))
        stored, real = self.quantized.values(sample), self.joined.values(sample) if self.joined is not None else {}
        alone = {tensor - self.shift: value for tensor, value in real.items() if tensor >= self.shift}
        reference = expected.result()
        for done in [pool.submit(part.add, name, reference, real, stored, alone) for part in parts]:
            done.result()
        for views in (stored, real, alone):  # a worker may hold them a moment longer, and no view may outlive the next run
            views.clear()


def open_pass(reference: Reference, rows: Sequence[Row], files: Files, *, first: Mapping[str, np.ndarray], threads: int) -> LayerPass:
    """Opens the files so that the tensors of the rows show.

    Args:
        reference: the user's model, at least the tensors of the rows shown.
        rows: what to measure; those whose node cannot be cut off lose their own error, with the reason.
        files: what to measure on.
        first: a sample that the files are tried with.
        threads: that work on the values; each run has one.

    Raises:
        ToolError: a file does not run.
    """
    threads = max(1, threads)
    quantized_model = tflite.read_once(files.quantized)
    feed_quantized = feeder(quantized_model, files.tensor_map.inputs)
    if files.float is None or files.pairs is None:
        quantized, notes = _show_quantized(quantized_model, rows, feed_quantized, first)
        return LayerPass(reference, rows, quantized, None, 0, notes, threads)
    float_model = tflite.grown(tflite.read_once(files.float))  # the cut makes another file of it
    feed_float = feeder(float_model, files.tensor_map.inputs)
    fed, computed = _fed_and_computed(float_model, [row.float_tensor for row in rows])
    shift = len(tflite.main_graph(float_model).tensors)
    own = list(dict.fromkeys([row.quantized_tensor for row in rows if row.own and row.quantized_tensor is not None]))
    cut = Cut(float_model, quantized_model, files.pairs, files.tensor_map.owners)
    content = cut.join(computed, own) if own else tflite.expose(float_model, computed)
    for row in rows:
        if row.own and row.owner in cut.uncut:
            row.own, row.reason = False, UNCUT
    del float_model, cut  # before LiteRT takes as much
    alone = open_exposed(content, feed_float(first), what="the float file", threads=1)
    quantized, notes = _show_quantized(quantized_model, rows, feed_quantized, first)  # after the larger file was packed
    heap.give_back()  # before the reference opens its own
    joined = Shown(alone.interpreter, feed_float, [*computed, *(tensor + shift for tensor in own)], fed)
    return LayerPass(reference, rows, quantized, joined, shift, (*notes, *alone.diagnostics), threads)


def _show_quantized(model: tflite.ModelT, rows: Sequence[Row], feed: Feeder, first: Mapping[str, np.ndarray]) -> tuple[Shown, tuple[Diagnostic, ...]]:
    """The quantized file end to end with the rows' tensors and its model outputs shown."""
    tensors = [row.quantized_tensor for row in rows if row.quantized_tensor is not None]
    fed, computed = _fed_and_computed(model, [*tensors, *map(int, tflite.main_graph(model).outputs)])
    opened = open_exposed(tflite.expose(model, computed), feed(first), what="the quantized file", threads=1)
    return Shown(opened.interpreter, feed, computed, fed), opened.diagnostics


def _fed_and_computed(model: tflite.ModelT, tensors: Iterable[int]) -> tuple[dict[int, str], list[int]]:
    """Model inputs among the tensors with their names, and the others, each once."""
    main = tflite.main_graph(model)
    inputs = {int(index) for index in main.inputs}
    wanted = list(dict.fromkeys(tensors))
    return {tensor: tflite.text(main.tensors[tensor].name) for tensor in wanted if tensor in inputs}, [
        tensor for tensor in wanted if tensor not in inputs
    ]
