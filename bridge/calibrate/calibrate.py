"""One pass of the samples through the float file, watching every float activation.

Every watched tensor is made a model output, so the delegate computes the file at its full speed and still shows all. Copies of the file run
side by side, each on one thread with samples of its own: that keeps all threads busy while values are reduced in NumPy, and leaves out the
barriers between the layers of one run (`tests/bench/bench_calibration.py` measures it).
"""

import functools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bridge.calibrate import checks
from bridge.calibrate.dataset import Dataset
from bridge.calibrate.observers import OBSERVERS, Observer
from bridge.errors import InputError, ToolError, UsageError
from bridge.files import digest
from bridge.tflite import model as tflite
from bridge.tflite import parallel
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.tflite.parallel import Sample, Stream
from bridge.types import Diagnostic, InputBinding, Ranges

logger = logging.getLogger(__name__)

MEMORY_BYTES = 1 << 30  # of all copies of the file together: weights and every activation once per copy

# The output holds the very values of the first input, so its range is the same.
RANGE_KEEPING_OPS = frozenset({"EXPAND_DIMS", "RESHAPE", "SQUEEZE", "TRANSPOSE"})


@dataclass(frozen=True, slots=True)
class Watch:
    """What to look at in a file.

    Attributes:
        names: name of every float activation.
        source: for each of them the position in `seen` of the tensor that has its values.
        seen: indices of the tensors to look at, model inputs first.
        fed: names of the model inputs among `seen`.
        exposed: the file with the rest of `seen` as its outputs.
        bytes: memory that one running copy needs, about.
    """

    names: tuple[str, ...]
    source: tuple[int, ...]
    seen: tuple[int, ...]
    fed: tuple[str, ...]
    exposed: bytes
    bytes: int


def calibrate(
    float_model: Path,
    dataset: Dataset,
    bindings: Sequence[InputBinding],
    *,
    observer: str = "min_max",
    threads: int,
    progress: Callable[[int], None],
) -> Ranges:
    """Ranges of all float activations of a TFLite file, model inputs included; the same for any number of threads.

    Args:
        float_model: the file to quantize.
        dataset: at least one sample; each is read once.
        bindings: how its samples are fed to the file.
        observer: how a range is made of what is seen, a name of OBSERVERS.
        threads: threads that run the file, all together.
        progress: told how many more samples are done.

    Raises:
        InputError: there are no samples, or the file cannot be read.
        ToolError: LiteRT cannot run the file, neither in the delegate nor without it.
        UsageError: there is no such observer.
    """
    if observer not in OBSERVERS:
        raise UsageError(f"There is no observer {observer!r}.", hint=f"Known: {', '.join(OBSERVERS)}.")
    if len(dataset) == 0:
        raise InputError(f"{dataset.source}: there are no samples to calibrate on.")
    watched = watch(tflite.read(float_model))
    runners, diagnostics = _runners(watched, feed(bindings, dataset[0]), copies=min(threads, len(dataset)), threads=threads)
    observers: list[Observer] = [OBSERVERS[observer](len(watched.seen), len(dataset)) for _ in runners]
    stream = Stream(dataset, progress)
    parallel.run(
        [functools.partial(_watch_samples, runner, watched, bindings, seen) for runner, seen in zip(runners, observers, strict=True)], stream
    )
    total = observers[0]
    for other in observers[1:]:
        total.merge(other)
    found = total.ranges()
    names = {position: name for position, name in zip(reversed(watched.source), reversed(watched.names), strict=True)}
    user_names = {binding.tflite_name: binding.onnx_name for binding in bindings}
    inputs = {user_names[name]: found[position] for position, name in enumerate(watched.fed)}
    warnings = (*diagnostics, *checks.check_data(dataset, inputs), *checks.check_ranges(dataset, total, names))
    logger.info("calibrated %d tensors on %d samples", len(watched.names), len(dataset))
    return Ranges(
        tensors=MappingProxyType({name: found[position] for name, position in zip(watched.names, watched.source, strict=True)}),
        samples=len(dataset),
        source=dataset.source,
        model_sha256=digest(float_model),
        warnings=warnings,
    )


def watch(model: tflite.ModelT) -> Watch:
    """Finds the float activations, and the fewest tensors that tell the ranges of all."""
    graph = tflite.main_graph(model)
    activations = [index for index in tflite.activations(model) if tflite.dtype(graph.tensors[index]).kind == "f"]
    origin = {index: index for index in activations}
    for op in graph.operators:
        source, target = int(op.inputs[0]) if len(op.inputs) else -1, int(op.outputs[0]) if len(op.outputs) else -1
        if tflite.op_name(model, op) in RANGE_KEEPING_OPS and source in origin and target in origin:
            origin[target] = origin[source]
    model_inputs = {int(index) for index in graph.inputs}
    seen = [index for index in activations if origin[index] == index]
    seen.sort(key=lambda index: index not in model_inputs)  # stable: inputs first, then in order of computation
    fed = tuple(tflite.text(graph.tensors[index].name) for index in seen if index in model_inputs)
    exposed = tflite.expose(model, seen[len(fed) :] or graph.outputs)
    place = {index: position for position, index in enumerate(seen)}
    values = sum(4 * int(np.prod(tflite.shape(graph.tensors[index]))) for index in activations)
    names = tuple(tflite.text(graph.tensors[index].name) for index in activations)
    return Watch(names, tuple(place[origin[index]] for index in activations), tuple(seen), fed, exposed, len(exposed) + values)


def _runners(watched: Watch, first: dict[str, np.ndarray], *, copies: int, threads: int) -> tuple[list[Interpreter], tuple[Diagnostic, ...]]:
    """Copies of the file that are known to run: in the delegate, else on the builtin kernels, which is said."""
    copies = max(1, min(copies, MEMORY_BYTES // watched.bytes))
    try:
        return [_proved(watched, first, kernels="optimized", threads=threads // copies) for _ in range(copies)], ()
    except ToolError as error:
        refusal = error.message
    runners = [_proved(watched, first, kernels="builtin", threads=threads // copies) for _ in range(copies)]
    return runners, (checks.delegate_refused(refusal),)


def _proved(watched: Watch, first: dict[str, np.ndarray], *, kernels: Kernels, threads: int) -> Interpreter:
    """An interpreter that has run once: a delegate may refuse a file as late as that."""
    runner = Interpreter(watched.exposed, kernels=kernels, threads=max(1, threads))
    runner.run_views(first)
    return runner


def _watch_samples(runner: Interpreter, watched: Watch, bindings: Sequence[InputBinding], observer: Observer, stream: Stream) -> None:
    for position, sample in stream:
        _watch_sample(runner, watched, feed(bindings, sample), observer, position)


def _watch_sample(runner: Interpreter, watched: Watch, feeds: Sample, observer: Observer, position: int) -> None:
    """One run; a function of its own, so that its views are gone before the next run."""
    values = [feeds[name] for name in watched.fed]
    if len(watched.seen) > len(watched.fed):
        values += runner.run_views(feeds)
    observer.observe(position, values)
