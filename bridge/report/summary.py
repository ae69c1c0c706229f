"""The summary of several conversions: what `summary.json` holds, as pydantic models; each row is a model, its figures are those of its report.

Within one `schema_version` keys are only added, so readers ignore those they do not know.
"""

import json
from typing import Literal

from pydantic import computed_field

from bridge.report.parts import Part, Real
from bridge.report.schema import Report

SUMMARY_VERSION: Literal[1] = 1
INTERRUPTED = 130  # what shells expect after Ctrl-C


class TaskFigure(Part):
    """How good a model is at its task: the first task metric of its report, else the top-1 accuracy or agreement of its worst output.

    A share of 0 .. 1 for top-1; `float_value` is None for an agreement, which is that of both models.
    """

    name: str
    float_value: Real | None = None
    value: Real
    unit: str = ""


class ModelRow(Part):
    """One model.

    Attributes:
        name: of the folder with its results, beside the summary.
        model: its path as given.
        exit_code: as of a conversion alone; None where it was not converted, because the run was interrupted.
        error: why there is no result, in one sentence; empty where there is one.
        hint: what to do about that.
        seconds: how long it took.
        output: name of the output with the lowest SQNR, and `sqnr_db` that.
        float_mac_share: 0 .. 1.
        missed: gates that are not met, of `gates` all.
        deployable: false when the ranges come from random data.
        headline: the verdict of the report in one sentence.
    """

    name: str
    model: str
    exit_code: int | None = None
    error: str = ""
    hint: str = ""
    seconds: Real | None = None
    framework: str = ""
    precision: str = ""
    nodes: int | None = None
    output: str | None = None
    sqnr_db: Real | None = None
    task: TaskFigure | None = None
    float_bytes: int | None = None
    quantized_bytes: int | None = None
    size_ratio: Real | None = None
    float_mac_share: Real | None = None
    float_ms: Real | None = None
    quantized_ms: Real | None = None
    gates: int = 0
    missed: tuple[str, ...] = ()
    warnings: int = 0
    deployable: bool = True
    headline: str = ""
    peak_rss_mb: Real | None = None

    @property
    def has_report(self) -> bool:
        """Whether the folder holds a report of this run."""
        return self.exit_code in (0, 5)

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def verdict(self) -> str:
        """What became of the model, in a word or two."""
        if self.exit_code == 0:
            return "passed" if self.gates else "done"
        return VERDICTS.get(self.exit_code, f"exit code {self.exit_code}")


VERDICTS = {None: "not run", 1: "crashed", 2: "bad input", 3: "not convertible", 4: "tool failed", 5: "gate missed"}


class Summary(Part):
    """One run over several models.

    Attributes:
        jobs: how many were converted at the same time at most; None on a cluster, where its workers decide.
        seconds: of the whole run.
        interrupted: whether it was ended before all models were converted.
    """

    schema_version: Literal[1] = SUMMARY_VERSION
    version: str = ""
    jobs: int | None = 1
    seconds: Real = 0.0
    interrupted: bool = False
    models: tuple[ModelRow, ...]

    @computed_field  # type: ignore[prop-decorator]  # pydantic's own way
    @property
    def exit_code(self) -> int:
        """0 when every model is done and meets its gates; 130 after an interruption; else the lowest code of a model.

        So 5 says that all were converted and only gates are missed.
        """
        failed = [row.exit_code for row in self.models if row.exit_code]
        return INTERRUPTED if self.interrupted else min(failed, default=0)

    def to_json(self) -> str:
        """`summary.json`: ASCII, one line per model."""
        values = self.model_dump(mode="json")
        rows = ",\n".join(json.dumps(row, allow_nan=False) for row in values.pop("models"))
        return "{\n" + "".join(f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in values.items()) + f'"models": [\n{rows}\n]\n}}\n'

    def rows_json(self) -> str:
        """The rows alone, a list."""
        return json.dumps([row.model_dump(mode="json") for row in self.models], indent=1, allow_nan=False) + "\n"


def row_of(report: Report, *, name: str, model: str) -> ModelRow:
    """The row of a model that was converted."""
    worst = next((output for output in report.outputs if output.name == report.summary.worst_output), None)
    missed = tuple(gate.expression for gate in report.verdict.gates if not gate.passed)
    return ModelRow(
        name=name,
        model=model,
        exit_code=0 if report.verdict.passed else 5,
        framework=report.model.framework,
        precision=report.precision,
        nodes=report.model.nodes,
        output=None if worst is None else worst.name,
        sqnr_db=None if worst is None else worst.sqnr_db,
        task=_task(report),
        float_bytes=report.cost.float_bytes,
        quantized_bytes=report.cost.quantized_bytes,
        size_ratio=report.summary.size_ratio,
        float_mac_share=report.cost.float_mac_share,
        float_ms=report.cost.float_ms,
        quantized_ms=report.cost.quantized_ms,
        gates=len(report.verdict.gates),
        missed=missed,
        warnings=report.summary.warnings,
        deployable=report.summary.deployable,
        headline=report.summary.headline,
        peak_rss_mb=report.peak_rss_mb,
    )


def _task(report: Report) -> TaskFigure | None:
    for metric in report.task_metrics:
        return TaskFigure(name=metric.name, float_value=metric.float_value, value=metric.value, unit=metric.unit)
    for output in sorted(report.outputs, key=lambda one: one.name != report.summary.worst_output):
        if output.top1_float is not None and output.top1_quantized is not None:
            return TaskFigure(name="top1", float_value=output.top1_float, value=output.top1_quantized)
        if output.top1_agreement is not None:
            return TaskFigure(name="top1_agreement", value=output.top1_agreement)
    return None


def summary_schema() -> str:
    """The JSON schema of `summary.json`, as committed beside this file."""
    return json.dumps(Summary.model_json_schema(mode="serialization"), indent=1) + "\n"
