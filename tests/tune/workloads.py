"""A workload of a small net, made without onnx2tf: a float TFLite file that is its own reference."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bridge.calibrate import Calibration
from bridge.preparing import Prepared, Request, prepare
from bridge.progress import Silent, Stages
from bridge.task_metrics import AnyMetric
from bridge.tflite import model as tflite
from bridge.tune.settings import Setting
from bridge.tune.trial import Spec
from bridge.tune.workload import Workload

INT8, FLOAT = "static_wi8_ai8", "float32"
LAYERS, SIZE, CLASSES = 5, 16, 10
SAMPLES = 12


def dense_net(path: Path, *, layers: int = LAYERS, seed: int = 0) -> Path:
    """A chain of layers, the last with CLASSES outputs.

    Weights and samples are small integers, so that all kernels compute the same: the float file is exact.
    """
    rng = np.random.default_rng(seed)
    units = [*[SIZE] * (layers - 1), CLASSES]
    return chain(path, [(rng.integers(-1, 2, (one, SIZE)).astype(np.float32), rng.integers(-2, 3, one).astype(np.float32)) for one in units])


def chain(path: Path, layers: Sequence[tuple[np.ndarray, np.ndarray]], *, relu: bool = True, reshape: bool = False) -> Path:
    """A file of FULLY_CONNECTED operators, input `x` [1, inputs of the first].

    Args:
        path: of the file.
        layers: weight [outputs, inputs] and bias [outputs].
        relu: after each but the last.
        reshape: a RESHAPE between each two, to the shape that is there already.
    """
    model = tflite.new_model("test")
    graph = tflite.main_graph(model)
    last = first = tflite.add_tensor(model, graph, "x", "FLOAT32", (1, layers[0][0].shape[1]))
    for place, (weight, bias) in enumerate(layers):
        final = place == len(layers) - 1
        operands = [_constant(model, f"{name}_{place}", value) for name, value in (("weight", weight), ("bias", bias))]
        made = tflite.add_tensor(model, graph, f"y_{place}", "FLOAT32", (1, len(bias)))
        op = tflite.add_op(model, "FULLY_CONNECTED", 1, [last, *operands], [made])
        tflite.set_options(op, "FullyConnectedOptions", fusedActivationFunction=tflite.ACTIVATION_CODES["RELU"] if relu and not final else 0)
        graph.operators.append(op)
        last = made
        if reshape and not final:
            shape = _constant(model, f"shape_{place}", np.asarray((1, len(bias)), np.int32))
            last = tflite.add_tensor(model, graph, f"z_{place}", "FLOAT32", (1, len(bias)))
            graph.operators.append(tflite.add_op(model, "RESHAPE", 1, [made, shape], [last]))
    graph.inputs, graph.outputs = np.asarray([first], np.int32), np.asarray([last], np.int32)
    path.write_bytes(tflite.serialize(model))
    return path


def _constant(model: tflite.ModelT, name: str, value: np.ndarray) -> int:
    kind = "FLOAT32" if value.dtype == np.float32 else "INT32"
    return tflite.add_tensor(model, tflite.main_graph(model), name, kind, value.shape, buffer=tflite.add_buffer(model, value))


def prepared(folder: Path, *, metrics: tuple[AnyMetric, ...] = ("top1",), edges: tuple[str, str] = (FLOAT, FLOAT)) -> tuple[Request, Prepared]:
    """The net with samples and labels, ready to quantize."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    data = {"x": rng.integers(-3, 4, (SAMPLES, 1, SIZE)).astype(np.float32), "labels": rng.integers(0, CLASSES, SAMPLES)}
    source = Calibration.from_arrays(data)
    net = dense_net(folder / "net.tflite")
    request = Request(source=net, calibration=source, evaluation=source, metrics=metrics, input_dtype=edges[0], output_dtype=edges[1])
    return request, prepare(request, folder, folder / "log", Stages(Silent()))


def small_workload(folder: Path, *, metrics: tuple[AnyMetric, ...] = ("top1",)) -> Workload:
    """Its workload, with the setting `min_max`."""
    request, made = prepared(folder, metrics=metrics)
    return Workload.write(folder / "workload", made, [Setting("min_max", made.ranges)], request=request)


def specs() -> list[Spec]:
    """Every choice of int8 and float32 for the layers."""
    return [Spec(tuple(FLOAT if number >> layer & 1 else INT8 for layer in range(LAYERS)), "min_max") for number in range(2**LAYERS)]


def float_norm(reference: Mapping[str, np.ndarray], candidate: Mapping[str, np.ndarray], truth: object) -> float:
    """A metric that a name leads to."""
    del truth
    return max(float(np.linalg.norm(reference[name] - candidate[name])) for name in reference)
