"""ONNX models of any number of nodes or megabytes, with calibration samples, for `bench_scale.py`."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CHANNELS, SIDE = 16, 6
LAYERS = 20  # of a model that is to be large
BLOCKS_BETWEEN_TANH = 8  # which keeps values in range, however deep the model is


def model_of_nodes(count: int, folder: Path, *, samples: int) -> Path:
    """Residual blocks of Conv, Relu, Mul and Add over [1, 16, 6, 6], with a Tanh behind every eighth; weights of 1.2 kB a block."""
    rng = np.random.default_rng(0)
    nodes: list[onnx.NodeProto] = []
    constants = [numpy_helper.from_array(np.array(0.5, np.float32), "half")]
    last, block = "x", 0

    def add(op: str, inputs: list[str], name: str) -> str:
        nodes.append(helper.make_node(op, inputs, [f"{name}.out"], name=name))
        return f"{name}.out"

    while len(nodes) + 5 <= count:
        stem, block = f"block{block}", block + 1
        kernel = (rng.standard_normal((CHANNELS, CHANNELS, 1, 1)) / np.sqrt(CHANNELS)).astype(np.float32)
        constants += [numpy_helper.from_array(kernel, f"{stem}.w"), numpy_helper.from_array(np.zeros(CHANNELS, np.float32), f"{stem}.b")]
        active = add("Relu", [add("Conv", [last, f"{stem}.w", f"{stem}.b"], f"{stem}/conv")], f"{stem}/relu")
        last = add("Add", [add("Mul", [active, "half"], f"{stem}/mul"), last], f"{stem}/add")
        if block % BLOCKS_BETWEEN_TANH == 0:
            last = add("Tanh", [last], f"{stem}/tanh")
    while len(nodes) < count:
        last = add("Relu", [last], f"tail{len(nodes)}/relu")
    return _saved(folder / f"nodes{count}.onnx", nodes, constants, last, (CHANNELS, SIDE, SIDE), samples)


def model_of_megabytes(megabytes: float, folder: Path, *, samples: int) -> Path:
    """Twenty square Gemm, each with a Relu: 40 nodes, whatever they weigh."""
    rng = np.random.default_rng(0)
    width = max(8, int((megabytes * 1e6 / 4 / LAYERS) ** 0.5))
    nodes, constants, last = [], [], "x"
    for layer in range(LAYERS):
        weight = rng.standard_normal((width, width), np.float32)
        weight *= np.float32(np.sqrt(2 / width))
        constants += [numpy_helper.from_array(weight, f"w{layer}"), numpy_helper.from_array(np.zeros(width, np.float32), f"b{layer}")]
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [f"sum{layer}"], name=f"layer{layer}/gemm"))
        nodes.append(helper.make_node("Relu", [f"sum{layer}"], [f"out{layer}"], name=f"layer{layer}/relu"))
        last = f"out{layer}"
    return _saved(folder / f"megabytes{megabytes:g}.onnx", nodes, constants, last, (width,), samples)


def _saved(path: Path, nodes: list[onnx.NodeProto], constants: list[onnx.TensorProto], last: str, shape: tuple[int, ...], samples: int) -> Path:
    start, end = ([helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, *shape])] for name in ("x", last))
    graph = helper.make_graph(nodes, path.stem, start, end, constants)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    np.savez(path.with_suffix(".npz"), x=np.random.default_rng(1).standard_normal((samples, *shape), np.float32))
    return path
