"""One small network, trained once in PyTorch and once in Keras on the digits, converted by each way in.

    uv run --extra torch --extra tensorflow python tests/bench/bench_frontends.py

A CNN with BatchNorm and a residual sum, 1,437 images for training, 360 held out for the accuracies. The sources of one framework hold the same weights, so
they have to give the same accuracies. Prints one JSON object per way in, one a line.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # before TensorFlow: their LLVMs bear each other in this order only

sys.path.insert(0, str(Path(__file__).parents[2] / "models"))

import digits  # type: ignore[import-not-found]  # found by the path above
import keras
import numpy as np
import tensorflow as tf
from torch import nn

import bridge

EPOCHS, BATCH, CALIBRATION = 12, 64, 128


class Net(nn.Module):  # type: ignore[misc]  # torch is untyped here
    """Convolution, BatchNorm, a residual sum, average pooling, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16)
        self.side, self.side_norm = nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.deep, self.deep_norm = nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32)
        self.head = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """[1, 1, 16, 16] -> [1, 10]."""
        x = torch.relu(self.norm(self.stem(image)))
        x = torch.relu(x + self.side_norm(self.side(x)))
        x = torch.relu(self.deep_norm(self.deep(x)))
        return torch.flatten(self.head(x.mean((2, 3))), 1)


def of_torch(train: digits.Split) -> Net:
    """Trained with Adam, in eval mode."""
    torch.manual_seed(0)
    net, images, labels = Net(), torch.from_numpy(train.images[:, None]), torch.from_numpy(train.labels)
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(labels)).split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(images[rows]), labels[rows]).backward()
            optimizer.step()
    net.eval()
    return net


def of_keras(train: digits.Split) -> Any:
    """The same network, trained in Keras."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((16, 16, 1), name="image")
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Conv2D(16, 3, strides=2, padding="same", name="stem")(image)))
    x = layers.ReLU()(layers.Add()([x, layers.BatchNormalization(momentum=0.9)(layers.Conv2D(16, 3, padding="same", name="side")(x))]))
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(layers.Conv2D(32, 3, strides=2, padding="same", name="deep")(x)))
    net = keras.Model(image, layers.Dense(10, name="head")(layers.GlobalAveragePooling2D()(x)), name="net")
    net.compile(keras.optimizers.Adam(5e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    net.fit(train.images[..., None], train.labels, batch_size=BATCH, epochs=EPOCHS, verbose=0)
    return net


def torch_sources(net: Net, folder: Path) -> Iterator[tuple[str, object, dict[str, Any]]]:
    """Name, source, options of `convert`."""
    example = (torch.zeros(1, 1, 16, 16),)
    program = torch.export.export(net, example)
    torch.export.save(program, folder / "net.pt2")
    torch.jit.trace(net, example).save(folder / "net.pt")
    torch.onnx.export(program, dynamo=True, verbose=False).save(folder / "net.onnx")
    yield "torch module", net, {"example_inputs": example}
    yield "exported program", program, {}
    yield ".pt2", folder / "net.pt2", {}
    yield "TorchScript", folder / "net.pt", {"input_shapes": {"image": (1, 1, 16, 16)}}
    yield "ONNX", folder / "net.onnx", {}


def keras_sources(net: Any, folder: Path) -> Iterator[tuple[str, object, dict[str, Any]]]:
    """Name, source, options of `convert`; the input of each is called `image`."""
    net.save(folder / "net.keras")
    net.save(folder / "net.h5")
    function = tf.function(lambda image: net(image, training=False), input_signature=[tf.TensorSpec((1, 16, 16, 1), tf.float32, name="image")])
    module = tf.Module()
    module.net, module.scores = net, function
    tf.saved_model.save(module, str(folder / "saved"), signatures={"scores": function})
    (folder / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(net).convert())
    yield "Keras model", net, {}
    yield ".keras", folder / "net.keras", {}
    yield ".h5", folder / "net.h5", {}
    yield "SavedModel", folder / "saved", {"signature": "scores"}
    yield "tf.function", function, {}
    yield "float .tflite", folder / "net.tflite", {}


def measured(framework: str, name: str, source: object, options: dict[str, Any], data: dict[str, Any], folder: Path) -> dict[str, object]:
    """One row."""
    started = time.perf_counter()
    result = bridge.convert(source, **options, **data, output_dir=folder / name.replace(" ", "_"), layer_samples=4, recover=())
    (output,), (fed,) = result.report.outputs, result.report.inputs
    return {
        "framework": framework,
        "source": name,
        "top1_float": output.top1_float,
        "top1_int8": output.top1_quantized,
        "sqnr_db": round(output.sqnr_db or 0.0, 2),
        "nodes": result.report.coverage.nodes,
        "mapped": result.report.coverage.mapped,
        "explained": result.report.coverage.explained,
        "missing": sum(layer.status == "missing" for layer in result.report.layers),
        "int8_bytes": result.artifacts["static_wi8_ai8"].stat().st_size,
        "fed": f"{fed.name} {'x'.join(map(str, fed.tflite_shape))} ({fed.layout})",
        "seconds": round(time.perf_counter() - started, 1),
    }


def main() -> None:
    """Trains both, converts each by every way in."""
    train, held_out = digits.load()
    with tempfile.TemporaryDirectory() as name:
        for framework, sources, axis in (
            ("torch", torch_sources(of_torch(train), Path(name)), 1),
            ("keras", keras_sources(of_keras(train), Path(name)), -1),
        ):
            shaped = [np.expand_dims(split.images, axis)[:, None] for split in (train, held_out)]
            for label, source, options in sources:
                data: dict[str, Any] = {
                    "calibration": bridge.Calibration.from_arrays({"image": shaped[0][:CALIBRATION]}),
                    "evaluation": bridge.Calibration.from_arrays({"image": shaped[1], "labels": held_out.labels}),
                }
                row = measured(framework, label, source, options, data, Path(name) / framework)
                sys.stdout.write(f"{json.dumps(row)}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
