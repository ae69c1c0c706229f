"""Sparse and clustered versions of a small CNN as int8 files: zeros and distinct values counted in the files, accuracy, size after gzip.

    uv run python tests/bench/bench_compression.py MODEL.onnx DATA_FOLDER WORK_FOLDER [--steps 1000] [--rules PACK] [--only VERSION] > compression.md

DATA_FOLDER holds calibration.npz and evaluation.npz with labels. The weights are pruned and clustered in the ONNX file; `tuned` versions are trained in
torch to give what each layer of the float model gives on the calibration samples, flipped and shifted, while they are pruned step by step: no labels are
used. Those `with int8 rounding` are trained on for a quarter as many steps with `bridge.qat`, towards the scores. MODEL is a graph of the operators in
`FUNCTIONS`.
"""

import argparse
import gzip
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch.nn import functional

import bridge
from bridge import qat
from bridge.compress import Kept, cluster, keep, prune
from bridge.tflite import model as tflite

BATCH = 50
STAGES = 10  # of pruning, over the first half of the steps
RATE = 0.02  # of the spread of each parameter: with one step for all, a first layer that reads 0 .. 255 is lost in ten steps


def _conv(inputs: Sequence[Any], options: Mapping[str, Any]) -> Any:
    top, left, bottom, right = options["pads"]
    data = functional.pad(inputs[0], (left, right, top, bottom))
    return functional.conv2d(data, inputs[1], inputs[2], stride=options["strides"], groups=options["group"])


FUNCTIONS: Mapping[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": lambda inputs, options: functional.avg_pool2d(inputs[0], options["kernel_shape"], options["strides"]),
    "Conv": _conv,
    "Gemm": lambda inputs, _: inputs[0] @ inputs[1] + inputs[2],
    "Relu": lambda inputs, _: functional.relu(inputs[0]),
    "Reshape": lambda inputs, _: inputs[0].flatten(1),
    "Softmax": lambda inputs, _: inputs[0],  # scores are compared in front of it
    "Transpose": lambda inputs, options: inputs[0].permute(options["perm"]),
}

MATCHED = ("Add", "Conv", "Gemm")


class Net(torch.nn.Module):  # type: ignore[misc]  # torch is an extra: mypy sees Any
    """The graph of an ONNX file with its float constants as parameters."""

    def __init__(self, model: onnx.ModelProto) -> None:
        super().__init__()
        self.graph = model.graph
        constants = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
        self.names = [name for name, value in constants.items() if value.dtype == np.float32]
        self.values = torch.nn.ParameterList([torch.nn.Parameter(torch.from_numpy(constants[name].copy())) for name in self.names])

    def forward(self, data: Any) -> Any:
        return self.layers(data)[-1]

    def layers(self, data: Any) -> list[Any]:
        """What convolutions, sums and the product at the end give, the scores last."""
        known = dict(zip(self.names, self.values, strict=True)) | {self.graph.input[0].name: data}
        for node in self.graph.node:
            options = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            known[node.output[0]] = FUNCTIONS[node.op_type]([known.get(name) for name in node.input], options)
        return [known[node.output[0]] for node in self.graph.node if node.op_type in MATCHED]

    def save(self, model: onnx.ModelProto, path: Path) -> Path:
        """The ONNX file with the parameters as they are now."""
        changed = onnx.ModelProto()
        changed.CopyFrom(model)
        now = {name: value.detach().numpy() for name, value in zip(self.names, self.values, strict=True)}
        for one in changed.graph.initializer:
            if one.name in now:
                one.CopyFrom(numpy_helper.from_array(now[one.name], one.name))
        onnx.save(changed, path)
        return path


def changed_pictures(pictures: Any, generator: Any) -> Any:
    """A batch of pictures [N, height, width, channels], flipped and shifted by up to 3 pixels."""
    batch = pictures[torch.randperm(len(pictures), generator=generator)[:BATCH]]
    if torch.rand((), generator=generator) < 0.5:
        batch = batch.flip(2)
    down, right = (int(step) for step in torch.randint(-3, 4, (2,), generator=generator))
    return batch.roll((down, right), (1, 2))


def tune(net: Any, teacher: Net, pictures: Any, shrink: Callable[[Any, float], Kept], steps: int, rate: float = RATE) -> None:
    """Trains the net to give what the teacher's layers give, a prepared one its scores; zeros and clusters come in over the first half and are kept.

    Args:
        net: what `shrink` changes, or what `qat.prepare` made of it.
        teacher: the net as it was.
        pictures: [N, height, width, channels].
        shrink: the net and a share of the way, 0 .. 1 -> what is to be kept.
        steps: of the optimizer.
        rate: of learning, in spreads of each parameter.
    """
    generator = torch.Generator().manual_seed(0)
    groups = [{"params": [one], "lr": rate * float(one.detach().std())} for one in net.parameters() if one.requires_grad and one.numel() > 1]
    optimizer = torch.optim.Adam(groups)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    kept = shrink(net, 1 / STAGES)
    for step in range(steps):
        batch = changed_pictures(pictures, generator)
        with torch.no_grad():
            wanted = teacher.layers(batch)
        received = net.layers(batch) if isinstance(net, Net) else [net(batch)]
        optimizer.zero_grad()
        sum(functional.mse_loss(one, aim) / aim.var() for one, aim in zip(received, wanted[-len(received) :], strict=True)).backward()
        optimizer.step()
        schedule.step()
        kept.project()
        stage, left = divmod(2 * STAGES * (step + 1), steps)
        if left < 2 * STAGES and 1 < stage <= STAGES:
            kept = shrink(net, stage / STAGES)


def counted(path: Path) -> tuple[float, int]:
    """Share of zeros in the int8 weights of a file, and the most distinct values in one of them."""
    model = tflite.read(path)
    weights = [
        tflite.constant(model, one)
        for one in tflite.main_graph(model).tensors
        if tflite.is_constant(model, one) and tflite.TYPE_NAMES[one.type] == "INT8" and len(tflite.shape(one)) > 1
    ]
    zeros = sum(int((one == 0).sum()) for one in weights) / sum(one.size for one in weights)
    return zeros, max(len(np.unique(one)) for one in weights)


def row(name: str, path: Path, options: argparse.Namespace, *, shared: bool = True) -> str:
    """A line of the table; without `shared` scales, clustered weights have one per channel like all others."""
    folder = options.work / f"{path.stem}-{'shared' if shared else 'per-channel'}"
    arguments = {
        "calibration": options.data / "calibration.npz",
        "evaluation": options.data / "evaluation.npz",
        "rules": ("default", *options.rules),
        "threads": 1,
    }
    if shared:
        result = bridge.convert(path, output_dir=folder, **arguments)
    else:
        with patch("bridge.quantize.constants.common_scale", return_value=None):
            result = bridge.convert(path, output_dir=folder, **arguments)
    return cells(name, result)


def cells(name: str, result: bridge.ConversionResult) -> str:
    """A line of the table."""
    file = result.artifacts["static_wi8_ai8"]
    output, block = result.report.outputs[0], result.report.compression
    zeros, distinct = counted(file)
    size = len(gzip.compress(file.read_bytes(), 6, mtime=0))
    assert block.float_gzip_bytes is not None
    assert output.top1_float is not None
    assert output.top1_quantized is not None
    columns = (
        name,
        f"{100 * output.top1_float:.1f}",
        f"{100 * output.top1_quantized:.1f}",
        f"{100 * zeros:.1f}",
        f"{distinct}",
        f"{block.float_gzip_bytes / 1e3:.1f}",
        f"{size / 1e3:.1f}",
    )
    return f"| {' | '.join(columns)} |"


def check(net: Net, path: Path, pictures: Any) -> None:
    """Fails unless the net is the file."""
    session = onnxruntime.InferenceSession(path)
    wanted = np.concatenate([session.run(None, {session.get_inputs()[0].name: one[None]})[0] for one in pictures.numpy()])
    with torch.no_grad():
        np.testing.assert_allclose(net(pictures).softmax(-1).numpy(), wanted, rtol=0, atol=1e-4)


def add(line: str) -> None:
    """One line of the table, as soon as it is known: the whole takes minutes."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


VERSIONS: Mapping[str, tuple[float, int]] = {
    "50 % zeros": (0.5, 0),
    "80 % zeros": (0.8, 0),
    "32 clusters": (0, 32),
    "16 clusters": (0, 16),
    "8 clusters": (0, 8),
    "50 % zeros, 16 clusters": (0.5, 16),
    "80 % zeros, 16 clusters": (0.8, 16),
}


def shrinking(sparsity: float, clusters: int) -> Callable[[Any, float], Kept]:
    """Prunes a share of what is wanted, and clusters at the end."""

    def shrink(net: Any, share: float) -> Kept:
        kept = prune(net, sparsity * (1 - (1 - share) ** 3)) if sparsity else keep(net)
        return cluster(net, clusters) if clusters and share == 1 else kept

    return shrink


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser()
    for name in ("model", "data", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--rules", action="append", default=[])
    parser.add_argument("--only", action="append", choices=VERSIONS, help="versions; all without it")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    source = onnx.load(options.model)
    teacher = Net(source)
    pictures = torch.from_numpy(next(iter(np.load(options.data / "calibration.npz").values())))
    check(teacher, options.model, pictures)
    add("| version | float top-1 % | int8 top-1 % | zeros in int8 % | distinct int8 values | float gzip kB | int8 gzip kB |")
    add("|---" * 7 + "|")
    if not options.only:
        add(row("as published", options.model, options))
    for name in options.only or VERSIONS:
        for line in rows_of(name, source, teacher, pictures, options):
            add(line)


def rows_of(name: str, source: onnx.ModelProto, teacher: Net, pictures: Any, options: argparse.Namespace) -> Iterator[str]:
    """Not tuned, tuned, tuned with the rounding of int8."""
    sparsity, clusters = VERSIONS[name]
    stem, shrink = f"{round(100 * sparsity)}-{clusters}", shrinking(sparsity, clusters)
    net = Net(source)
    shrink(net, 1.0)
    yield row(f"{name}, not tuned", net.save(source, options.work / f"{stem}-plain.onnx"), options)
    torch.manual_seed(0)
    net = Net(source)
    tune(net, teacher, pictures, shrink, options.steps)
    path = net.save(source, options.work / f"{stem}-tuned.onnx")
    yield row(f"{name}, tuned", path, options)
    if clusters:
        yield row(f"{name}, tuned, scales per channel", path, options, shared=False)
    prepared = qat.prepare(net, (pictures[:1],), rules=("default", *options.rules))
    tune(prepared, teacher, pictures, lambda module, _: keep(module), options.steps // 4, RATE / 8)
    yield qat_row(f"{name}, tuned with int8 rounding", prepared, pictures, options, stem)


def qat_row(name: str, prepared: Any, pictures: Any, options: argparse.Namespace, stem: str) -> str:
    """A line for a net that was trained with its rounding."""
    qat.freeze(prepared)
    with np.load(options.data / "evaluation.npz") as arrays:
        labels = arrays["labels"]
        (images,) = (value for key, value in arrays.items() if key != "labels")
    data = options.work / "evaluation.npz"
    np.savez(data, data=images, labels=labels)
    result = qat.convert(prepared.eval(), (pictures[:1],), evaluation=data, output_dir=options.work / f"{stem}-qat", force=True, threads=1)
    return cells(name, result)


if __name__ == "__main__":
    main()
