"""One trial: the float file quantized in one way, run on the evaluation samples, measured against the user's model."""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from os import PathLike
from pathlib import Path
from platform import node

import msgspec
from msgspec.structs import replace

from bridge import quantize
from bridge.compare.borders import converted_elements
from bridge.compare.cost import float_mac_share, side_by_side_ms
from bridge.compare.outputs import candidate_of, compare_outputs
from bridge.indented_json import plain
from bridge.task_metrics import TaskResult
from bridge.tflite import model as tflite
from bridge.tune.workload import Workload, open_workload
from bridge.types import OutputResult


@dataclass(frozen=True, slots=True)
class Spec:
    """What to try.

    Attributes:
        op_precisions: asked for each operator of the float TFLite file, in its order.
        setting: name of one of the workload.
        latency: also time the file beside the float file.
    """

    op_precisions: tuple[str, ...]
    setting: str
    latency: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """What one trial measured; equal wherever it ran, times aside.

    Attributes:
        spec: what was tried.
        outputs: errors of every output, `conversion_sqnr_db` being that of the float file.
        task_metrics: of the quantized file, and of the reference in its place.
        placed: precision that each operator of the float file really has.
        float_mac_share: of the multiply-accumulates, 0..1, that float kernels do.
        quantized_bytes: size of the file.
        float_bytes: size of the float file.
        quantize_ops: QUANTIZE operators in the file.
        dequantize_ops: likewise.
        converted_elements: values that they convert in one run.
        quantized_ms: median latency; None where it was not asked for.
        float_ms: of the float file, measured in turns with it.
        seconds: that the trial took.
    """

    spec: Spec
    outputs: tuple[OutputResult, ...]
    task_metrics: tuple[TaskResult, ...]
    placed: tuple[str, ...]
    float_mac_share: float
    quantized_bytes: int
    float_bytes: int
    quantize_ops: int
    dequantize_ops: int
    converted_elements: int
    quantized_ms: float | None = field(default=None, compare=False)
    float_ms: float | None = field(default=None, compare=False)
    seconds: float = field(default=0.0, compare=False)

    def to_json(self) -> Mapping[str, object]:
        """Plain values for `json.dumps`; infinities and NaN are written as JSON of Python has them."""
        return dict(plain(self))

    @classmethod
    def from_json(cls, content: object) -> "Trial":
        """What `to_json` gave.

        Raises:
            ValueError: it is something else.
        """
        return msgspec.convert(content, Trial)


def trial_key(workload: Workload, spec: Spec) -> str:
    """sha256 of all that decides what a trial measures: files, samples, ranges, precisions, versions; and the machine, where it is timed."""
    what = [workload.digest, workload.setting(spec.setting).digest, spec.op_precisions, node() if spec.latency else None]
    return sha256(json.dumps(what).encode()).hexdigest()


def run_trial(folder: PathLike[str], spec: Spec, threads: int = 1) -> Trial:
    """Measures one way to quantize; the same in every process and with any number of threads.

    Args:
        folder: of the workload.
        spec: what to try.
        threads: that run samples.

    Raises:
        InputError: the folder holds no workload, or none of that setting.
        UsageError: not one precision per operator, or an unknown one; other versions of the kernels; a metric that this process cannot find.
        ToolError: LiteRT cannot run the file.
    """
    started = time.perf_counter()
    workload = open_workload(Path(folder))
    facts, setting, measurement = workload.facts, workload.setting(spec.setting), workload.measurement()
    model, ops = quantize.quantize_graph(
        workload.graph,
        where=str(workload.float_path),
        ranges=setting.ranges,
        op_precisions=spec.op_precisions,
        input_dtype=facts.input_dtype,
        output_dtype=facts.output_dtype,
        corrections=setting.corrections,
    )
    with tempfile.TemporaryDirectory(prefix="bridge-") as temporary:
        path = Path(temporary) / "trial.tflite"
        path.write_bytes(tflite.serialize(model))
        outputs, _ = compare_outputs(
            workload.reference,
            [candidate_of(path, model, facts.bindings)],
            facts.pairs,
            workload.samples,
            threads=threads,
            progress=lambda _: None,
            watch=measurement.watch,
        )
        float_ms, quantized_ms = side_by_side_ms(workload.float_path, path) if spec.latency else (None, None)
        counts = Counter(tflite.op_name(model, op) for op in tflite.main_graph(model).operators)
        return Trial(
            spec=spec,
            outputs=tuple(
                replace(output, conversion_sqnr_db=of_float.sqnr_db) for output, of_float in zip(outputs, facts.float_outputs, strict=True)
            ),
            task_metrics=measurement.results(),
            placed=tuple(op.precision for op in ops),
            float_mac_share=float_mac_share(model),
            quantized_bytes=path.stat().st_size,
            float_bytes=workload.float_path.stat().st_size,
            quantize_ops=counts["QUANTIZE"],
            dequantize_ops=counts["DEQUANTIZE"],
            converted_elements=converted_elements(model),
            quantized_ms=quantized_ms,
            float_ms=float_ms,
            seconds=time.perf_counter() - started,
        )
