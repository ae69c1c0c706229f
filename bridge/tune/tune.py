"""`bridge.tune`: converts once, then looks for the smallest set of nodes that has to be wider than int8."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bridge import frontends
from bridge import rules as rules_stage
from bridge.calibrate import Calibration
from bridge.convert import InputLayout
from bridge.errors import UsageError
from bridge.files import write_bytes
from bridge.observer_names import parse_observer
from bridge.preparing import Request
from bridge.progress import Progress, Silent, Stages
from bridge.recovery_names import DEFAULT_RECOVERY, check_recovery
from bridge.task_metrics import AnyMetric, check_metrics
from bridge.tune.goal import Goal
from bridge.tune.lab import Lab
from bridge.tune.levels import LEVELS
from bridge.tune.result import TuneReport, TuneResult
from bridge.tune.rule_file import rule_text
from bridge.tune.run import Run
from bridge.tune.session import check_known, open_session
from bridge.tune.space import CHOICES, FLOAT
from bridge.tune.summary import RULES, tune_report
from bridge.tune.tune_page import write as write_page

DEFAULT_CHOICES = (FLOAT, "dynamic_wi8_afp32")
DEFAULT_OBSERVERS = ("min_max", "percentile", "mse")
DEFAULT_TRIALS = 60
RESULT = "tune.json"


def tune(
    source: object,
    *,
    target: str,
    calibration: Path | str | Calibration | None,
    evaluation: Path | str | Calibration | None = None,
    budgets: Sequence[str] = (),
    choices: Sequence[str] = DEFAULT_CHOICES,
    level: str = "node",
    observers: Sequence[str] = DEFAULT_OBSERVERS,
    recover: Sequence[str] = DEFAULT_RECOVERY,
    rules: Sequence[str | Path | rules_stage.RuleFile] = (),
    metrics: Sequence[AnyMetric] = (),
    trials: int = DEFAULT_TRIALS,
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
) -> TuneResult:
    """Finds the smallest set of nodes that has to be wider than int8 for a target, and writes it as a rule file.

    Args:
        source: what `convert` takes.
        target: a gate, for example `sqnr>=30` or `top1_drop<=0.005`, for what the file computes.
        calibration: samples for the ranges.
        evaluation: samples for the trials; without it a quarter of the calibration samples is held out.
        budgets: gates for what that may cost, for example `float_mac_share<=0.1` or `size<=16000000`.
        choices: precisions that nodes may get instead of int8, of `float32`, `dynamic_wi8_afp32`, `static_wi8_ai16`.
        level: what moves together: `node`, `block` (module path), `pattern`, `op_type`.
        observers: what makes ranges, to choose from.
        recover: methods of accuracy recovery.
        rules: rule files whose nodes stay as they say; none by default, not even the pack `default`.
        metrics: task metrics that the target asks for, where they are functions.
        trials: at most so many.
        samples: of each trial at most so many; None: all, but no more than the target and the size of the model call for.
        workers: processes that run trials.
        dask: address of a Dask scheduler whose workers run them instead.
        output_dir: folder for the results, `<stem>.tune` if None; what was measured there before is not measured again.
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
        What was found, with the path of the rule file.

    Raises:
        UsageError: an option or the data cannot be used, or the target asks for what trials do not measure.
        UnsupportedModelError: the model cannot become TFLite.
        ToolError: a tool failed.
    """
    goal = Goal(target, tuple(budgets))
    named = tuple(dict.fromkeys((*metrics, *goal.metrics)))
    _check(choices, level, observers, metrics=named, trials=trials)
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
        observer=observers[0],
        recover=check_recovery(recover),
        metrics=named,
        seed=seed,
        threads=threads,
    )
    target_dir = Path(f"{frontends.stem(source)}.tune" if output_dir is None else output_dir)
    stages = Stages(progress or Silent())
    with open_session(request, target_dir, workers=workers, dask=dask, stages=stages) as session:
        total = len(session.prepared.data.evaluation)
        with stages("prepare trials"):
            first = session.settings.observed(observers[0], stages.progress.advance)
            # Where classes or tasks count, few samples say little.
            count = samples or (session.enough_samples if goal.sqnr_db([]) is not None else total)
            lab = session.lab([first], samples=count, planned=trials)

        def on_all() -> Lab:
            """Where the result is measured as `convert` will: on all samples."""
            return lab if lab.workload.facts.samples == total else session.lab([], samples=total, name="all")

        run = Run(session.prepared, request, goal, session.settings, lab, on_all, stages, choices, level, trials)
        outcome = run.search(first, observers)
        report = tune_report(run, outcome, target_dir)
    write_bytes(target_dir / RULES, rule_text(report.members, description=_description(report), reset=not rules).encode())
    write_bytes(target_dir / RESULT, report.to_json().encode())
    write_page(report, target_dir)
    return TuneResult(report, target_dir)


def _check(
    choices: Sequence[str],
    level: str,
    observers: Sequence[str],
    *,
    metrics: Sequence[AnyMetric],
    trials: int,
) -> None:
    """Refuses what cannot be read before any work is done."""
    check_known("choices", choices, CHOICES)
    check_known("level", (level,), LEVELS)
    if not choices or not observers:
        raise UsageError("At least one choice and one observer are needed.", hint=f"Choices: {', '.join(CHOICES)}.")
    for observer in observers:
        parse_observer(observer)
    if trials < 1:
        raise UsageError(f"At least one trial is needed. Received: trials={trials}.")
    check_metrics(metrics, asked=(), compares=True)


def _description(report: TuneReport) -> str:
    verdict = "meets" if report.met else "does not meet"
    return f"What bridge tune found for {report.model}: {verdict} {report.target} with {report.best.sqnr_db:.1f} dB on {report.confirmed_on} samples."
