"""What a search found, as `tune.json` holds it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from bridge.errors import InputError
from bridge.report.measured_metrics import task_metric
from bridge.report.parts import Part, Real
from bridge.tune.search import Found

SCHEMA_VERSION: Literal[1] = 1


class Point(Part):
    """One measured file.

    Attributes:
        assignment: node or group -> precision, where it differs from the start.
        cost: what the search makes small: the share of the multiply-accumulates in float, and a little for weights, conversions and rules.
        worst_output: with the lowest SQNR.
        sqnr_db: of that output.
        metrics: name -> value of the task metrics.
        drops: likewise, what was lost against the float model.
        quantized_ms: median latency with one thread; None where it was not timed. `float_ms` is that of the float file, in turns with it.
    """

    assignment: Mapping[str, str]
    cost: Real
    met: bool
    affordable: bool
    worst_output: str
    sqnr_db: Real
    top1_agreement: Real | None = None
    top1_drop: Real | None = None
    metrics: Mapping[str, Real] = Field(default_factory=dict)
    drops: Mapping[str, Real] = Field(default_factory=dict)
    float_mac_share: Real
    size_ratio: Real
    quantized_bytes: int
    quantize_ops: int
    dequantize_ops: int
    quantized_ms: Real | None = None
    float_ms: Real | None = None


class Member(Part):
    """A node or group that is not int8, and what that is worth.

    Attributes:
        nodes: the user's nodes.
        float_macs: share of the model's multiply-accumulates.
        without_db: SQNR of the worst output with this one in integers and the others as found; None where that was not measured.
        reason: as the rule gives it.
    """

    name: str
    nodes: tuple[str, ...]
    precision: str
    float_macs: Real
    without_db: Real | None = None
    reason: str


class Trials(Part):
    """Trials, by different files: `made` of at most `allowed` to search, `further` to confirm and to time; `cached` were known from an earlier run."""

    allowed: int
    made: int
    further: int
    cached: int


class TuneReport(Part):
    """The result of `bridge tune`.

    Attributes:
        observer: of the ranges.
        recovery: methods of accuracy recovery that helped.
        samples: evaluation samples of every trial.
        confirmed_on: evaluation samples that `best` was measured on, as `convert` makes it.
        candidates: what could be moved.
        start: without any member.
        best: what the rules give: the cheapest file that meets the target within the budgets, else the nearest.
        front: no measured file is cheaper and better than one of these; in the order of their cost.
        command: converts with the rules found.
        rules: the rule file, relative to the folder of the results.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str
    target: str
    budgets: tuple[str, ...]
    met: bool
    interrupted: bool = False
    observer: str
    recovery: tuple[str, ...]
    samples: int
    confirmed_on: int
    source: str
    candidates: int
    trials: Trials
    start: Point
    best: Point
    members: tuple[Member, ...]
    front: tuple[Point, ...]
    seconds: Mapping[str, float]
    command: str
    rules: str

    def to_json(self) -> str:
        """The text of `tune.json`."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, content: str | bytes, *, where: str) -> "TuneReport":
        """Reads what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise InputError(f"{where}: is no result of `bridge tune`.", hint="Give a tune.json as `bridge tune` writes it.") from error


def point(found: Found) -> Point:
    """The row of a measured set."""
    trial = found.trial
    worst = min(trial.outputs, key=lambda output: output.sqnr_db)
    classes = [output for output in trial.outputs if output.top1_agreement is not None]
    tasks = [task_metric(one) for one in trial.task_metrics]
    known = [(output.top1_float - output.top1_quantized) for output in classes if output.top1_float is not None and output.top1_quantized is not None]
    return Point(
        assignment=dict(found.assignment),
        cost=found.cost,
        met=found.met,
        affordable=found.affordable,
        worst_output=worst.name,
        sqnr_db=worst.sqnr_db,
        top1_agreement=min((output.top1_agreement or 0.0 for output in classes), default=None),
        top1_drop=max(known, default=None),
        metrics={one.name: one.value for one in tasks},
        drops={one.name: one.drop for one in tasks},
        float_mac_share=trial.float_mac_share,
        size_ratio=trial.quantized_bytes / trial.float_bytes,
        quantized_bytes=trial.quantized_bytes,
        quantize_ops=trial.quantize_ops,
        dequantize_ops=trial.dequantize_ops,
        quantized_ms=trial.quantized_ms,
        float_ms=trial.float_ms,
    )


def front(history: list[Found]) -> list[Found]:
    """Those that no other one beats in both cost and SQNR of the worst output, the cheapest first."""
    kept: list[Found] = []
    for one in sorted(history, key=lambda found: (found.cost, -found.worst_db)):
        if not kept or one.worst_db > kept[-1].worst_db:
            kept.append(one)
    return kept


def tune_schema() -> str:
    """The JSON schema of `tune.json`, as committed beside this file."""
    return json.dumps(TuneReport.model_json_schema(mode="serialization"), indent=1) + "\n"


class TuneResult:
    """What `bridge.tune` gives back: `report` is what `tune.json` holds, `rules` the rule file, `output_dir` the folder with everything."""

    def __init__(self, report: TuneReport, output_dir: Path) -> None:
        self.report, self.output_dir = report, output_dir
        self.rules = output_dir / report.rules
