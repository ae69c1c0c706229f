"""Four ways to say how much each node or group takes from the outputs: predicted, by its own error, and measured one at a time."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bridge.compare.own_errors import charge_writers, own_errors
from bridge.errors import UsageError
from bridge.quantize.float_graph import read_graph
from bridge.quantize.precisions import PRECISIONS
from bridge.tflite import model as tflite
from bridge.tune.levels import groups
from bridge.tune.noise import NOISE_SAMPLES, measure_noise
from bridge.tune.session import Session
from bridge.tune.settings import Setting
from bridge.tune.space import FLOAT, Assignment, Space
from bridge.tune.surrogate import Surrogate
from bridge.tune.trial import Spec, Trial
from bridge.types import QuantizedModel


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one candidate; None where the method does not say it.

    Attributes:
        own_db: SQNR of its own results, everything before it being float; the lowest of its nodes.
        alone_db: SQNR of the worst output where it alone is in integers.
        float_db: SQNR of the worst output where it alone is float.
    """

    own_db: float | None = None
    alone_db: float | None = None
    float_db: float | None = None


@dataclass(frozen=True, slots=True)
class Ranking:
    """What a method found.

    Attributes:
        figures: candidate -> what was found; those of which nothing can be said are missing.
        start_db: SQNR of the worst output of the file without floats; None where the method does not say it.
        samples: that were run.
        runs: files that were run on them.
    """

    figures: Mapping[str, Figures]
    start_db: float | None
    samples: int
    runs: int


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is ranked.

    Attributes:
        session: the prepared model.
        space: its candidates.
        setting: ranges.
        quantized: the file without floats.
        samples: of a trial; None = what the size of the model allows.
    """

    session: Session
    space: Space
    setting: Setting
    quantized: QuantizedModel
    samples: int | None


@dataclass(frozen=True, slots=True)
class Method:
    """A way to rank.

    Attributes:
        figure: field of `Figures` that it ranks by.
        lowest_first: whether the candidate with the lowest one takes most.
        predicts: whether its figures are predictions.
        what: says in a sentence what the figure is.
        rank: does it.
    """

    figure: str
    lowest_first: bool
    predicts: bool
    what: str
    rank: Callable[[Subject], Ranking]


def by_propagation(subject: Subject) -> Ranking:
    """From three runs: the noise that each operator makes, times the share of it that arrives."""
    session = subject.session
    data = session.prepared.data.evaluation
    count = min(len(data), subject.samples or NOISE_SAMPLES)
    noise = measure_noise(session.prepared.converted, subject.quantized, data, count=count, threads=session.request.threads)
    surrogate = Surrogate(noise, subject.space)

    def worst_db(assignment: Assignment) -> float:
        most = float(surrogate.predict(assignment).max(initial=0.0))
        return -10.0 * math.log10(most) if most > 0.0 else math.inf

    others = dict.fromkeys(subject.space.candidates, FLOAT)
    found = {
        name: Figures(alone_db=worst_db({one: choice for one, choice in others.items() if one != name}), float_db=worst_db({name: FLOAT}))
        for name in subject.space.candidates
    }
    return Ranking(found, worst_db({}), count, runs=3)


def by_own_error(subject: Subject) -> Ranking:
    """From one run of every operator by itself."""
    session = subject.session
    data = session.prepared.data.evaluation
    count = min(len(data), subject.samples or NOISE_SAMPLES)
    quantized = tflite.read_once(subject.quantized.path), subject.quantized.ops
    errors = own_errors(session.prepared.converted, quantized, data, count=count, threads=session.request.threads)
    charged = charge_writers(session.prepared.graph.nodes, errors)
    found = {}
    for name, candidate in subject.space.candidates.items():
        known = [charged[node] for node in candidate.nodes if node in charged]
        if known:
            found[name] = Figures(own_db=min(known))
    return Ranking(found, None, count, runs=1)


def one_quantized(subject: Subject) -> Ranking:
    """A trial for each candidate: it is in integers, the others are float.

    The quantizer leaves some operators float where nothing around them is in integers; of those a trial says nothing, and they have no figure.
    """
    others = dict.fromkeys(subject.space.candidates, FLOAT)
    assignments = {name: {one: choice for one, choice in others.items() if one != name} for name in others}
    measured = _by_trials(subject, assignments)
    found = {
        name: Figures(alone_db=_worst_db(trial))
        for name, trial in measured.trials.items()
        if any(PRECISIONS[trial.placed[op]].integer for op in subject.space.candidates[name].ops)
    }
    return Ranking(found, _worst_db(measured.start), measured.samples, measured.runs)


def one_float(subject: Subject) -> Ranking:
    """A trial for each candidate: it is float, the others are in integers."""
    measured = _by_trials(subject, {name: {name: FLOAT} for name in subject.space.candidates})
    found = {name: Figures(float_db=_worst_db(trial)) for name, trial in measured.trials.items()}
    return Ranking(found, _worst_db(measured.start), measured.samples, measured.runs)


@dataclass(frozen=True, slots=True)
class Measured:
    """Trials of a ranking: of the file without floats, and by candidate."""

    start: Trial
    trials: Mapping[str, Trial]
    samples: int
    runs: int


def _by_trials(subject: Subject, assignments: Mapping[str, Assignment]) -> Measured:
    session = subject.session
    planned = [Spec(subject.space.op_precisions(one), subject.setting.name) for one in ({}, *assignments.values())]
    lab = session.lab([subject.setting], samples=subject.samples or session.enough_samples, planned=len(set(planned)))
    start, *trials = lab.measure(planned)
    return Measured(start, dict(zip(assignments, trials, strict=True)), lab.workload.facts.samples, lab.asked)


def _worst_db(trial: Trial) -> float:
    """SQNR of the worst output, NaN if one is."""
    values = [output.sqnr_db for output in trial.outputs]
    return math.nan if any(math.isnan(value) for value in values) else min(values, default=math.inf)


METHODS: Mapping[str, Method] = MappingProxyType(
    {
        "propagation": Method(
            "alone_db", True, True, "SQNR of the worst output with this one alone in integers, predicted from three runs", by_propagation
        ),
        "own": Method("own_db", True, False, "SQNR of its own results, with float inputs", by_own_error),
        "one-quantized": Method("alone_db", True, False, "SQNR of the worst output with this one alone in integers", one_quantized),
        "one-float": Method("float_db", False, False, "SQNR of the worst output with this one alone in float", one_float),
    }
)


def ranked(names: Iterable[str], figures: Mapping[str, Figures], method: Method) -> list[str]:
    """The most sensitive first; those without a figure last. NaN is worse than any number."""

    def place(name: str) -> tuple[bool, float]:
        value = getattr(figures.get(name, Figures()), method.figure)
        if value is None:
            return True, 0.0
        if math.isnan(value):
            return False, -math.inf if method.lowest_first else math.inf
        return False, value if method.lowest_first else -value

    return sorted(names, key=place)


def rank(session: Session, *, method: str, level: str, samples: int | None) -> tuple[Space, Ranking]:
    """The candidates of a prepared model and what the method finds of them.

    Raises:
        UsageError: nothing of the model is int8.
    """
    settings, prepared, stages = session.settings, session.prepared, session.stages
    setting = settings.observed(session.request.observer, stages.progress.advance)
    with stages("rank"), settings.quantized(setting, settings.asked) as quantized:
        graph = read_graph(tflite.read(prepared.converted.path), where=str(prepared.converted.path))
        by = None if level == "node" else groups(prepared.opened.graph.nodes, level)
        space = Space(graph, prepared.converted.tensor_map.owners, settings.asked, [op.precision for op in quantized.ops], groups=by)
        if not space.candidates:
            raise UsageError("Nothing of the model is int8, so there is nothing to rank.", hint="Give fewer --rules.")
        return space, METHODS[method].rank(Subject(session, space, setting, quantized, samples))
