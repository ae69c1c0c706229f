"""A torch CNN that loses points in post-training quantization with few weight bits, and quantization-aware training that brings them back.

    uv run --with scikit-learn python tests/bench/bench_qat.py WORK_FOLDER [--bits 4] [--per-channel] [--epochs 40] > qat_torch.json

A depthwise CNN with BatchNorm is trained on the digits of `models/`. Both quantized files are made by the same preparation, with the same scales of
weights and the ranges of the same calibration samples; the one of `post_training` is not trained. Held-out images are used at the end only. All
accuracies are those of TFLite files in the LiteRT interpreter.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import bridge
from bridge import qat
from bridge.tflite.interpreter import Interpreter

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models"))
import digits  # type: ignore[import-not-found]  # a folder of scripts
import torch_training  # type: ignore[import-not-found]

CALIBRATION_SAMPLES = 256


def separable(channels: int, out: int, stride: int) -> list[nn.Module]:
    depthwise = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return [depthwise, nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU()]


def network() -> Any:
    """Of pictures [N, 1, 16, 16]."""
    first = [nn.Conv2d(1, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    blocks = [*separable(16, 24, 2), *separable(24, 32, 2), *separable(32, 32, 1)]
    return nn.Sequential(*first, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def accuracy(path: Path, samples: np.ndarray, labels: np.ndarray) -> float:
    runner = Interpreter(path, threads=1)
    (entry,) = runner.inputs
    found = [np.argmax(runner.run({entry.name: sample.reshape(entry.shape)})[0]) for sample in samples]  # one channel: any layout is the same
    return float(np.mean(np.asarray(found) == labels))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--per-channel", action="store_true")
    parser.add_argument("--float-epochs", type=int, default=40)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--rate", type=float, default=3e-3)
    options = parser.parse_args()
    train, held_out = digits.load()
    samples = torch_training.prepare(held_out.images)
    torch.manual_seed(0)
    net = network()
    torch_training.fit(net, train, epochs=options.float_epochs, learning_rate=1e-2)
    chosen = np.random.default_rng(0).choice(len(train.images), CALIBRATION_SAMPLES, replace=False)
    calibration = torch.from_numpy(torch_training.prepare(train.images[chosen]))
    example = (calibration[:1],)
    plain = bridge.convert(
        net,
        example_inputs=example,
        calibration=bridge.Calibration.from_dataloader(calibration.split(1)),
        output_dir=options.work / "plain",
        force=True,
        threads=1,
        compare=False,
    ).artifacts

    def file_of(prepared: Any, name: str) -> Path:
        qat.freeze(prepared)
        result = qat.convert(prepared.eval(), example, output_dir=options.work / name, force=True, threads=1, compare=False)
        return Path(result.artifacts["static_wi8_ai8"])

    def prepared_net() -> Any:
        return qat.prepare(net, (calibration,), rules=("default",), per_channel=options.per_channel, weight_bits=options.bits)

    before, prepared = file_of(prepared_net(), "post_training"), prepared_net()
    started, clock = time.process_time(), time.perf_counter()
    torch_training.fit(prepared, train, epochs=options.epochs, learning_rate=options.rate)
    trained_s, passed_s = time.process_time() - started, time.perf_counter() - clock
    paths = {"float": plain["float32"], "int8": plain["static_wi8_ai8"], "post_training": before, "trained": file_of(prepared, "trained")}
    found = {name: accuracy(path, samples, held_out.labels) for name, path in paths.items()}
    lost = found["float"] - found["post_training"]
    json.dump(
        {
            "weight_bits": options.bits,
            "per_channel": options.per_channel,
            "training_samples": len(train.images),
            "held_out_samples": len(samples),
            "accuracy": found,
            "lost_points": round(100 * lost, 2),
            "brought_back": round((found["trained"] - found["post_training"]) / lost, 3) if lost > 0 else None,
            "epochs": options.epochs,
            "training_cpu_s": round(trained_s, 1),
            "training_s": round(passed_s, 1),
        },
        sys.stdout,
        indent=2,
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
