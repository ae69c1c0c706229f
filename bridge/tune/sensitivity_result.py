"""What a ranking found, as `sensitivity.json` holds it.

Within one `schema_version` keys are only added, so readers ignore those they do not know.
"""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from bridge.errors import InputError
from bridge.report.parts import Part, Real

SCHEMA_VERSION: Literal[1] = 1
COLUMNS = ("name", "op_type", "depth", "macs", "weights", "own_db", "alone_db", "float_db", "gain_db")
FORMULA = ("=", "+", "-", "@")  # a spreadsheet takes a name that begins so for a formula


class Unit(Part):
    """A node or a group that is int8.

    Attributes:
        nodes: the user's nodes with operators that are int8.
        op_type: of the node that does most of the multiply-accumulates.
        depth: position of its first operator in the file.
        macs: share of the model's multiply-accumulates, 0..1.
        weights: likewise of its weights.
        own_db: SQNR of its own results with float inputs, in dB as `own_sqnr_db` of a rule; the lowest of its nodes.
        alone_db: SQNR of the worst output with this one alone in integers, dB.
        float_db: SQNR of the worst output with this one alone in float, dB.
        gain_db: `float_db` less `start_db` of the report.
    """

    name: str
    nodes: tuple[str, ...]
    op_type: str
    depth: int
    macs: Real
    weights: Real
    own_db: Real | None = None
    alone_db: Real | None = None
    float_db: Real | None = None
    gain_db: Real | None = None


class SensitivityReport(Part):
    """The result of `bridge sensitivity`.

    Attributes:
        predicted: whether the figures are predictions; otherwise they were measured.
        source: of the samples, and `samples` how many of them were run.
        runs: files that were run on them.
        start_db: SQNR of the worst output of the file without floats; None where the method does not say it.
        units: the most sensitive first; those of which nothing can be said last.
        seconds: stage -> how long it took.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model: str
    method: str
    predicted: bool
    level: str
    observer: str
    source: str
    samples: int
    runs: int
    start_db: Real | None
    units: tuple[Unit, ...]
    seconds: Mapping[str, float]

    def to_json(self) -> str:
        """The text of `sensitivity.json`."""
        return self.model_dump_json(indent=1) + "\n"

    def to_csv(self) -> str:
        """The units as a table, the most sensitive first; empty cells where a method says nothing."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("rank", *COLUMNS))
        for place, unit in enumerate(self.units, 1):
            values = (getattr(unit, column) for column in COLUMNS)
            writer.writerow((place, *("" if value is None else _cell(value) for value in values)))
        return text.getvalue()

    @classmethod
    def from_json(cls, content: str | bytes, *, where: str) -> "SensitivityReport":
        """Reads what `to_json` wrote.

        Raises:
            InputError: it is something else.
        """
        try:
            return cls.model_validate_json(content)
        except ValidationError as error:
            raise InputError(
                f"{where}: is no result of `bridge sensitivity`.", hint="Give a sensitivity.json as `bridge sensitivity` writes it."
            ) from error


def sensitivity_schema() -> str:
    """The JSON schema of `sensitivity.json`, as committed beside this file."""
    return json.dumps(SensitivityReport.model_json_schema(mode="serialization"), indent=1) + "\n"


class SensitivityResult:
    """What `bridge.sensitivity` gives back: `report` is what `sensitivity.json` holds, `output_dir` the folder with it, the page and the table."""

    def __init__(self, report: SensitivityReport, output_dir: Path) -> None:
        self.report, self.output_dir = report, output_dir


def _cell(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value
