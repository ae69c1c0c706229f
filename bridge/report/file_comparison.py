"""The result of comparing two files: what `bridge compare` prints and its JSON."""

import json
from collections.abc import Iterator, Sequence
from typing import Literal

from msgspec.structs import asdict
from rich.console import Console, RenderableType
from rich.text import Text

from bridge.report.measured_metrics import task_metric
from bridge.report.parts import Part
from bridge.report.schema import Diagnostic, Layer, Output, TaskMetric
from bridge.report.terminal import metrics_table, outputs_table, plain_table
from bridge.report.wording import decibel, visible
from bridge.types import Diagnostic as StageDiagnostic
from bridge.types import LayerResult, OutputResult

WORST = 10  # layers that the terminal shows


class FileComparison(Part):
    """Errors of a TFLite file against an ONNX model.

    Attributes:
        reference: path of the ONNX model.
        candidate: path of the TFLite file.
        samples: number of samples compared.
        layers: empty without a tensor map.
    """

    schema_version: Literal[1] = 1
    reference: str
    candidate: str
    samples: int
    outputs: tuple[Output, ...]
    task_metrics: tuple[TaskMetric, ...] = ()
    layers: tuple[Layer, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()

    def to_json(self) -> str:
        """JSON text; infinity and NaN as in report.json."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"

    def show(self, console: Console) -> None:
        """Prints outputs, the layers with the largest inherited error, findings."""
        for part in self._parts():
            console.print(part)

    def _parts(self) -> Iterator[RenderableType]:
        yield Text(f"{visible(self.candidate)} against {visible(self.reference)}, {self.samples} samples", "bold")
        yield outputs_table(self.outputs)
        yield from metrics_table(self.task_metrics)
        measured = [layer for layer in self.layers if layer.inherited_sqnr_db is not None]
        if measured:
            table = plain_table("largest error", "inherited", "tensor")
            for layer in sorted(measured, key=lambda layer: layer.inherited_sqnr_db or 0.0)[:WORST]:
                table.add_row(Text(visible(layer.node)), decibel(layer.inherited_sqnr_db), Text(visible(layer.tensor)))
            yield table
        for finding in self.diagnostics:
            yield Text(f"{finding.severity}: {visible(finding.message, 400)}")


def build_file_comparison(
    reference: str,
    candidate: str,
    samples: int,
    *,
    outputs: tuple[OutputResult, ...],
    layers: tuple[LayerResult, ...],
    task_metrics: Sequence[object] = (),
    diagnostics: tuple[StageDiagnostic, ...],
) -> FileComparison:
    """Assembles what the compare stage returned."""
    return FileComparison(
        reference=reference,
        candidate=candidate,
        samples=samples,
        outputs=tuple(Output.model_validate(asdict(output)) for output in outputs),
        task_metrics=tuple(map(task_metric, task_metrics)),
        layers=tuple(
            Layer.model_validate(asdict(layer) | {"metrics": dict(layer.metrics), "worst_samples": [asdict(one) for one in layer.worst_samples]})
            for layer in layers
        ),
        diagnostics=tuple(Diagnostic.model_validate(asdict(finding)) for finding in diagnostics),
    )
