"""`bridge.sensitivity`: converts once, then ranks nodes or groups by what int8 takes from the outputs in them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bridge import frontends
from bridge import rules as rules_stage
from bridge.calibrate import Calibration
from bridge.convert import InputLayout
from bridge.errors import UsageError
from bridge.observer_names import DEFAULT_OBSERVER, parse_observer
from bridge.preparing import Request
from bridge.progress import Progress, Silent, Stages
from bridge.tune.levels import LEVELS
from bridge.tune.ranking import METHODS, Figures, Ranking, rank, ranked
from bridge.tune.sensitivity_page import write
from bridge.tune.sensitivity_result import SensitivityReport, SensitivityResult, Unit
from bridge.tune.session import Session, check_known, open_session
from bridge.tune.space import Candidate, Space


def sensitivity(
    source: object,
    *,
    calibration: Path | str | Calibration | None,
    evaluation: Path | str | Calibration | None = None,
    method: str = "propagation",
    level: str = "node",
    observer: str = DEFAULT_OBSERVER,
    rules: Sequence[str | Path | rules_stage.RuleFile] = (),
    samples: int | None = None,
    workers: int = 1,
    dask: str | None = None,
    output_dir: Path | str | None = None,
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
    preprocess: str | Path | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    constants: Mapping[str, np.ndarray] = MappingProxyType({}),
    input_layout: InputLayout = "auto",
    seed: int = 0,
    threads: int = 2,
    progress: Progress | None = None,
) -> SensitivityResult:
    """Ranks what is int8 by what that takes from the outputs; without accuracy recovery.

    Args:
        source: what `convert` takes.
        calibration: samples for the ranges.
        evaluation: samples to measure with; without it a quarter of the calibration samples is held out.
        method: `propagation` (three runs), `own` (one run), `one-quantized` or `one-float` (a trial for each).
        level: what is ranked: `node`, `block` (module path), `pattern`, `op_type`.
        observer: what makes ranges.
        rules: rule files whose nodes stay as they say; none by default, not even the pack `default`.
        samples: at most so many; None: 16, and for trials what the size of the model allows.
        workers: processes that run trials.
        dask: address of a Dask scheduler whose workers run them instead.
        output_dir: folder for the results, `<stem>.sensitivity` if None; trials that were run there before are not run again.
        example_inputs: as for `convert`; likewise all that follow.
        signature: of a SavedModel.
        preprocess: how pictures become inputs.
        input_shapes: of inputs with dynamic dimensions.
        constants: values of inputs that the TFLite file shall not have.
        input_layout: `auto`, `keep` or `nhwc`.
        seed: of everything random.
        threads: of each run of a model.
        progress: told about the work.

    Returns:
        The ranking, with the paths of its files.

    Raises:
        UsageError: an option or the data cannot be used, or nothing of the model is int8.
        UnsupportedModelError: the model cannot become TFLite.
        ToolError: a tool failed.
    """
    check_known("method", (method,), METHODS)
    check_known("level", (level,), LEVELS)
    parse_observer(observer)
    if samples is not None and samples < 1:
        raise UsageError(f"At least one sample is needed. Received: samples={samples}.")
    request = Request(
        source=source,
        example_inputs=example_inputs,
        signature=signature,
        calibration=calibration,
        evaluation=evaluation,
        preprocess=preprocess,
        rules=rules,
        input_shapes=input_shapes,
        constants=constants,
        input_layout=input_layout,
        observer=observer,
        seed=seed,
        threads=threads,
    )
    target_dir = Path(f"{frontends.stem(source)}.sensitivity" if output_dir is None else output_dir)
    stages = Stages(progress or Silent())
    with open_session(request, target_dir, workers=workers, dask=dask, stages=stages) as session:
        space, ranking = rank(session, method=method, level=level, samples=samples)
    report = _report(session, space, ranking, method=method, level=level)
    write(report, target_dir)
    return SensitivityResult(report, target_dir)


def _report(session: Session, space: Space, ranking: Ranking, *, method: str, level: str) -> SensitivityReport:
    order = ranked(space.candidates, ranking.figures, METHODS[method])
    return SensitivityReport(
        model=frontends.label(session.request.source),
        method=method,
        predicted=METHODS[method].predicts,
        level=level,
        observer=session.request.observer,
        source=session.prepared.data.evaluation.source,
        samples=ranking.samples,
        runs=ranking.runs,
        start_db=ranking.start_db,
        units=tuple(_unit(session, space, space.candidates[name], ranking) for name in order),
        seconds=session.stages.seconds,
    )


def _unit(session: Session, space: Space, candidate: Candidate, ranking: Ranking) -> Unit:
    figures = ranking.figures.get(candidate.name, Figures())
    types = {node.name: node.op_type for node in session.prepared.opened.graph.nodes}
    heaviest = max(candidate.ops, key=space.macs.__getitem__)  # the first of equals
    gain = None if figures.float_db is None or ranking.start_db is None else figures.float_db - ranking.start_db
    return Unit(
        name=candidate.name,
        nodes=tuple(dict.fromkeys(space.owners[op] for op in candidate.ops)),
        op_type=types.get(space.owners[heaviest], space.graph.ops[heaviest].name),
        depth=candidate.ops[0],
        macs=candidate.macs,
        weights=candidate.weights,
        own_db=figures.own_db,
        alone_db=figures.alone_db,
        float_db=figures.float_db,
        gain_db=gain,
    )
