"""One pass of the samples through the float file, watching every float activation.

What is watched is made a model output, so the delegate computes the file at its full speed and still shows all. Copies of the file run
side by side, each on one thread with samples of its own: that keeps all threads busy while values are reduced in NumPy, and leaves out the
barriers between the layers of one run (`tests/bench/bench_calibration.py` measures it).
"""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from bridge.calibrate import checks
from bridge.calibrate.dataset import Dataset
from bridge.calibrate.observation import Observation
from bridge.calibrate.observers import needs_values
from bridge.calibrate.picture_checks import check_pictures
from bridge.calibrate.variety import check_classes
from bridge.calibrate.watch import Watch, watch
from bridge.errors import InputError, ToolError
from bridge.files import digest
from bridge.observer_names import DEFAULT_OBSERVER, parse_observer
from bridge.tflite import model as tflite
from bridge.tflite import parallel
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.tflite.parallel import Sample, Stream
from bridge.tflite.run_file import LARGE
from bridge.types import Diagnostic, InputBinding, RangeChoice, Ranges, TensorRange

logger = logging.getLogger(__name__)

INT8 = 8  # bits of a tensor that nothing else is said about
MEMORY_BYTES = 1 << 30  # of all copies of the file together: weights and every activation once per copy


def calibrate(
    float_model: Path,
    dataset: Dataset,
    bindings: Sequence[InputBinding],
    *,
    observer: str = DEFAULT_OBSERVER,
    choices: Mapping[str, RangeChoice] = MappingProxyType({}),
    bits: Mapping[str, int] = MappingProxyType({}),
    threads: int,
    progress: Callable[[int], None],
) -> Ranges:
    """Ranges of all float activations of a TFLite file, model inputs included; the same for any number of threads.

    Tensors that hold the same values in another shape share an observer and a range: what is chosen for one of them counts for all.

    Args:
        float_model: the file to quantize.
        dataset: at least one sample; each is read once.
        bindings: how its samples are fed to the file.
        observer: how a range is made of what is seen: a name of OBSERVERS, or `percentile:99.9`.
        choices: tensors that get their range in another way, by TFLite name.
        bits: width of the integer type of tensors that are not to be int8, by TFLite name.
        threads: threads that run the file, all together.
        progress: told how many more samples are done.

    Raises:
        InputError: there are no samples, or the file cannot be read.
        ToolError: LiteRT cannot run the file, neither in the delegate nor without it.
        UsageError: there is no such observer.
    """
    parse_observer(observer)
    if len(dataset) == 0:
        raise InputError(f"{dataset.source}: there are no samples to calibrate on.", code="data-count")
    valued = {name for name, choice in choices.items() if needs_values(choice.observer or observer)}
    watched = watch(tflite.read_once(float_model), extents=not needs_values(observer), valued=valued)
    plan = _Plan(watched, observer, choices, bits)
    workers, diagnostics = _workers(float_model, watched, bindings, dataset[0], copies=min(threads, len(dataset)), threads=threads)
    seen = [Observation(plan.observers, plan.bits, watched.outputs) for _ in workers]
    tasks = [functools.partial(worker.observe, one) for worker, one in zip(workers, seen, strict=True)]
    parallel.run(tasks, Stream(dataset, progress))
    del workers, tasks  # before the checks open a file
    total = seen[0]
    for other in seen[1:]:
        total.merge(other)
    found, extents = plan.chosen(total.ranges()), total.extents.ranges()
    names = {position: name for position, name in zip(reversed(watched.source), reversed(watched.names), strict=True)}
    user_names = {binding.tflite_name: binding.onnx_name for binding in bindings}
    inputs = {user_names[name]: extents[position] for position, name in enumerate(watched.fed)}
    warnings = (
        *diagnostics,
        *checks.check_data(dataset, inputs),
        *check_pictures(dataset, float_model, bindings, inputs),
        *checks.check_ranges(dataset, total.extents, names),
        *check_classes(dataset, total.scores.values()),
    )
    curves = total.extents.curve().T.tolist()
    logger.info("calibrated %d tensors on %d samples", len(watched.names), len(dataset))
    return Ranges(
        tensors=MappingProxyType({name: found[position] for name, position in zip(watched.names, watched.source, strict=True)}),
        samples=len(dataset),
        source=dataset.source,
        model_sha256=digest(float_model),
        warnings=warnings,
        observer=observer,
        choices=MappingProxyType({name: choices[name] for name in watched.names if name in choices}),
        growth=MappingProxyType({name: tuple(curves[position]) for name, position in zip(watched.names, watched.source, strict=True)}),
    )


class _Plan:
    """How each tensor that is looked at gets its range: as the last of the names for its values says.

    Attributes:
        observers: name of the observer of each.
        bits: of each one's integer type, the widest of all names.
    """

    def __init__(self, watched: Watch, observer: str, choices: Mapping[str, RangeChoice], bits: Mapping[str, int]) -> None:
        self._choices = {position: choices[name] for name, position in zip(watched.names, watched.source, strict=True) if name in choices}
        self.observers = [observer] * len(watched.seen)
        self.bits = [INT8] * len(watched.seen)
        for position, choice in self._choices.items():
            self.observers[position] = choice.observer or observer
        for name, position in zip(watched.names, watched.source, strict=True):
            self.bits[position] = max(self.bits[position], bits.get(name, INT8))

    def chosen(self, ranges: Sequence[TensorRange]) -> list[TensorRange]:
        """The ranges with those that are fixed, and clipped where that is asked for."""
        return [_chosen(extent, self._choices.get(position)) for position, extent in enumerate(ranges)]


def with_choices(ranges: Ranges, float_model: Path, choices: Mapping[str, RangeChoice]) -> Ranges:
    """Ranges of an earlier run with those that are fixed or clipped now; an observer needs the samples and changes nothing."""
    if not choices:
        return ranges
    watched = watch(tflite.read_once(float_model), extents=False)
    by_position = {position: choices[name] for name, position in zip(watched.names, watched.source, strict=True) if name in choices}
    places = dict(zip(watched.names, watched.source, strict=True))
    tensors = {name: _chosen(extent, by_position.get(places.get(name, -1))) for name, extent in ranges.tensors.items()}
    return replace(ranges, tensors=MappingProxyType(tensors))


def _chosen(extent: TensorRange, choice: RangeChoice | None) -> TensorRange:
    if choice is not None and choice.fixed is not None:
        return TensorRange(*choice.fixed)
    if choice is None or choice.clip is None:
        return extent
    low, high = choice.clip
    return TensorRange(min(max(extent.minimum, low), high), max(min(extent.maximum, high), low))


def _workers(
    path: Path, watched: Watch, bindings: Sequence[InputBinding], first: Sample, *, copies: int, threads: int
) -> tuple[list["_Worker"], tuple[Diagnostic, ...]]:
    """Copies of the file that are known to run: in the delegate, else on the builtin kernels, which is said."""
    feeds = feed(bindings, first)
    plain = functools.cache(lambda: watch(tflite.read_once(path), extents=False))
    attempts: tuple[tuple[Kernels, Callable[[], Watch]], ...] = (("optimized", lambda: watched), ("optimized", plain), ("builtin", plain))
    refusals: list[ToolError] = []
    for kernels, shown in attempts:
        large = shown().exposed.size > LARGE  # each copy packs all weights for itself
        count = 1 if large else max(1, min(copies, MEMORY_BYTES // shown().bytes))
        try:
            found = [_Worker(path, shown(), bindings, _proved(shown(), feeds, kernels, threads // count)) for _ in range(count)]
        except ToolError as error:
            refusals.append(error)
        else:
            return found, () if kernels == "optimized" else (checks.delegate_refused(refusals[-1].message),)
    raise refusals[-1]


def _proved(watched: Watch, feeds: dict[str, np.ndarray], kernels: Kernels, threads: int) -> Interpreter:
    """An interpreter that has run once: a delegate may refuse a file as late as that."""
    runner = Interpreter(watched.exposed, kernels=kernels, threads=max(1, threads))
    runner.run_views(feeds)
    return runner


class _Worker(Struct):
    """One copy of the file at work.

    Attributes:
        path: the file itself.
        watched: what is looked at.
        bindings: how samples are fed.
        runner: of the file that shows it.
        careful: shows values where `watched` shows extents; opened for the first sample that needs it.
    """

    path: Path
    watched: Watch
    bindings: Sequence[InputBinding]
    runner: Interpreter
    careful: tuple[Watch, Interpreter] | None = None

    def observe(self, observer: Observation, stream: Stream) -> None:
        """Takes samples from the stream until it ends."""
        for position, sample in stream:
            self._observe_one(feed(self.bindings, sample), observer, position)

    def _observe_one(self, feeds: dict[str, np.ndarray], observer: Observation, position: int) -> None:
        """One run; a function of its own, so that its views are gone before the next run."""
        values = self.watched.read(feeds, self.runner.run_views(feeds))
        if values is None:  # an infinite extent says nothing about the finite values
            watched, runner = self.careful = self.careful or self._open_careful(feeds)
            values = watched.read(feeds, runner.run_views(feeds))
        observer.observe(position, values or [])

    def _open_careful(self, feeds: dict[str, np.ndarray]) -> tuple[Watch, Interpreter]:
        watched = watch(tflite.read_once(self.path), extents=False)
        return watched, _proved(watched, feeds, "optimized", 1)
