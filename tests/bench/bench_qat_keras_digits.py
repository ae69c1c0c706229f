"""Quantization-aware training of a small Keras CNN on the digits, with weights of few bits.

    PYTHONPATH=. uv run --with scikit-learn python tests/bench/bench_qat_keras_digits.py WORK_FOLDER [--bits 3] [--per-channel] > qat_keras_digits.json

The float net is trained on the training split with its labels, and so is the prepared one; the held-out split is only evaluated, once for each file.
The files with few bits are made by the same preparation; the one of `post_training` is not trained, and that of `post_training_longer` comes from the
float net after as many more epochs without rounding. All accuracies are those of TFLite files in the LiteRT interpreter. Each seed has a net of its own.
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
import keras
from bench_qat_keras import accuracy, file_of

import bridge
from bridge import qat
from models import digits

BATCH, CALIBRATION = 32, 128
layers = keras.layers


def net() -> Any:
    steps = [keras.Input((digits.SIZE, digits.SIZE, 1), name="image")]
    for channels in (8, 16, 16):
        steps += [layers.Conv2D(channels, 3, strides=2, padding="same", use_bias=False), layers.BatchNormalization(), layers.ReLU()]
    return keras.Sequential([*steps, layers.Flatten(), layers.Dense(10)])


def fit(model: Any, data: digits.Split, rate: float, epochs: int) -> None:
    """With a rate that falls along a cosine to 0."""
    schedule = keras.optimizers.schedules.CosineDecay(rate, epochs * -(-len(data.images) // BATCH))
    model.compile(keras.optimizers.Adam(schedule), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data.images[..., None], data.labels, batch_size=BATCH, epochs=epochs, verbose=0)


def measure(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    keras.utils.set_random_seed(seed)
    train, held_out = digits.load()
    model, folder = net(), options.work / str(seed)
    fit(model, train, 2e-3, 20)
    calibration = train.images[:CALIBRATION, ..., None]
    given = bridge.Calibration.from_arrays({"image": calibration})
    plain = bridge.convert(model, calibration=given, output_dir=folder / "plain", threads=1, compare=False)

    def prepare() -> Any:
        return qat.prepare(model, (calibration,), rules=("default",), per_channel=options.per_channel, weight_bits=options.bits)

    prepared = prepare()
    before = file_of(prepared, folder / "post_training")
    started = time.process_time()
    fit(prepared, train, options.rate, options.epochs)
    trained_s = time.process_time() - started
    qat.freeze(prepared)
    fit(model, train, options.rate, options.epochs)
    paths = {
        "float": Path(plain.artifacts["float32"]),
        "int8": Path(plain.artifacts["static_wi8_ai8"]),
        "post_training": before,
        "post_training_longer": file_of(prepare(), folder / "longer"),
        "trained": file_of(prepared, folder / "trained"),
    }
    found = {name: accuracy(path, held_out.images[..., None], held_out.labels) for name, path in paths.items()}
    lost = found["float"] - found["post_training"]
    return {
        "seed": seed,
        "accuracy": {name: round(value, 4) for name, value in found.items()},
        "lost_points": round(100 * lost, 2),
        "brought_back": round((found["trained"] - found["post_training"]) / lost, 3) if lost > 0 else None,
        "training_cpu_s": round(trained_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--bits", type=int, default=3)
    parser.add_argument("--per-channel", action="store_true")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--rate", type=float, default=2e-3)
    parser.add_argument("--seeds", type=int, default=2)
    options = parser.parse_args()
    results = [measure(seed, options) for seed in range(options.seeds)]
    shown = {"weight_bits": options.bits, "per_channel": options.per_channel, "epochs": options.epochs, "nets": results}
    json.dump(shown, sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
