"""Small float TFLite files for tests, what they compute, and what became of them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bridge.quantize import Corrections, quantize
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import OpOutcome, QuantizedModel, Ranges, TensorRange

NONE = Corrections()
INT8 = "static_wi8_ai8"
CONV = ("Conv2DOptions", {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1})
TYPES = {"float32": "FLOAT32", "int32": "INT32"}


class Net:
    """A float file under construction; tensors are known by name."""

    def __init__(self) -> None:
        self.model = tflite.new_model("test")
        self.graph = tflite.main_graph(self.model)
        self.index: dict[str, int] = {}
        self.inputs: list[str] = []

    def input(self, name: str, *shape: int, dtype: str = "float32") -> str:
        self.index[name] = tflite.add_tensor(self.model, self.graph, name, TYPES[dtype], shape)
        self.inputs.append(name)
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        buffer = tflite.add_buffer(self.model, value)
        self.index[name] = tflite.add_tensor(self.model, self.graph, name, TYPES[value.dtype.name], value.shape, buffer=buffer)
        return name

    def op(
        self,
        name: str,
        inputs: Sequence[str],
        output: str,
        *shape: int,
        options: tuple[str, Mapping[str, object]] | None = None,
        dtype: str = "float32",
    ) -> str:
        return self.split(name, inputs, {output: shape}, options=options, dtype=dtype)[0]

    def split(
        self,
        name: str,
        inputs: Sequence[str],
        outputs: Mapping[str, Sequence[int]],
        *,
        options: tuple[str, Mapping[str, object]] | None = None,
        dtype: str = "float32",
    ) -> list[str]:
        for output, shape in outputs.items():
            self.index[output] = tflite.add_tensor(self.model, self.graph, output, TYPES[dtype], shape)
        operator = tflite.add_op(self.model, name, 1, [self.index[tensor] for tensor in inputs], [self.index[tensor] for tensor in outputs])
        if options is not None:
            tflite.set_options(operator, options[0], **options[1])
        self.graph.operators.append(operator)
        return list(outputs)

    def conv(self, source: str, output: str, *shape: int, channels: int = 3, seed: int = 0, scale: float = 0.4) -> str:
        rng = np.random.default_rng(seed)
        weight = self.constant(f"{output}_weight", (scale * rng.standard_normal((shape[-1], 3, 3, channels))).astype(np.float32))
        bias = self.constant(f"{output}_bias", rng.standard_normal(shape[-1]).astype(np.float32))
        return self.op("CONV_2D", [source, weight, bias], output, *shape, options=CONV)

    def save(self, path: Path, *outputs: str) -> Path:
        self.graph.inputs = np.asarray([self.index[name] for name in self.inputs], np.int32)
        self.graph.outputs = np.asarray([self.index[name] for name in outputs], np.int32)
        path.write_bytes(tflite.serialize(self.model))
        return path


def samples(path: Path, count: int = 8, *, seed: int = 1) -> list[dict[str, np.ndarray]]:
    """Random feeds, standard normal (integers: 0 .. 3)."""
    rng = np.random.default_rng(seed)
    specs = Interpreter(path).inputs
    return [
        {
            spec.name: rng.standard_normal([int(size) for size in spec.shape]).astype(np.float32)
            if spec.dtype == "float32"
            else rng.integers(0, 4, [int(size) for size in spec.shape], np.int32)
            for spec in specs
        }
        for _ in range(count)
    ]


def ranges(path: Path, feeds: Sequence[Mapping[str, np.ndarray]] | None = None) -> Ranges:
    """Minimum and maximum of every float activation."""
    model = tflite.read(path)
    graph = tflite.main_graph(model)
    floats = [index for index in tflite.activations(model) if tflite.TYPE_NAMES[graph.tensors[index].type] == "FLOAT32"]
    interpreter = Interpreter(tflite.expose(model, floats))
    runs = [interpreter.run(feed) for feed in feeds or samples(path)]
    return Ranges(
        {
            tflite.text(graph.tensors[index].name): TensorRange(min(float(run[at].min()) for run in runs), max(float(run[at].max()) for run in runs))
            for at, index in enumerate(floats)
        },
        len(runs),
        "test",
        "",
    )


def quantized(
    path: Path,
    *wanted: str,
    input_dtype: str = "float32",
    output_dtype: str = "float32",
    known: Ranges | None = None,
    corrections: Corrections = NONE,
) -> QuantizedModel:
    """Quantizes next to the float file; `wanted` per operator, all int8 if left out."""
    count = len(tflite.main_graph(tflite.read(path)).operators)
    return quantize(
        path,
        path.with_suffix(".int8.tflite"),
        ranges=known or ranges(path),
        op_precisions=wanted or [INT8] * count,
        input_dtype=input_dtype,
        output_dtype=output_dtype,
        corrections=corrections,
    )


def ops(path: Path) -> list[str]:
    """Operator names of a file, in order."""
    model = tflite.read(path)
    return [tflite.op_name(model, op) for op in tflite.main_graph(model).operators]


def tensors(path: Path) -> dict[str, tflite.TensorT]:
    """Tensors of a file by name."""
    return {tflite.text(tensor.name): tensor for tensor in tflite.main_graph(tflite.read(path)).tensors}


def form(path: Path, name: str) -> tuple[str, float, int]:
    """Type, scale and zero point of a tensor; scale 0 when it has none."""
    tensor = tensors(path)[name]
    type_name = tflite.TYPE_NAMES[tensor.type]
    if tensor.quantization is None or tensor.quantization.scale is None:
        return type_name, 0.0, 0
    return type_name, float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])


def precisions(outcomes: Sequence[OpOutcome]) -> list[str]:
    """`int8` or `float32` per operator."""
    return ["int8" if outcome.precision == INT8 else outcome.precision for outcome in outcomes]


def sqnr_db(reference: Path, candidate: Path, *, kernels: Kernels = "optimized") -> float:
    """Agreement of the outputs on feeds that were not calibrated with, in dB."""
    runs = [[Interpreter(path, kernels=kernels).run(feed) for feed in samples(reference, seed=2)] for path in (reference, candidate)]
    exact, got = (np.concatenate([output.reshape(-1).astype(np.float64) for run in outputs for output in run]) for outputs in runs)
    return float(10 * np.log10(np.sum(exact**2) / max(np.sum((exact - got) ** 2), 1e-30)))
