"""Trains the ViT and exports it with torch's dynamo exporter, which writes module paths and class names into the nodes.

uv run --extra torch --with scikit-learn python models/digits_vit/train.py
"""

import sys
from pathlib import Path

import onnx
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import digits
import torch_training
import vit

HERE = Path(__file__).parent
LOCAL_KEYS = ("pkg.torch.onnx.stack_trace", "pkg.torch.onnx.fx_node")  # they hold paths of the machine that exported


def main() -> None:
    """Writes model.onnx, calibration.npz and evaluation.npz beside this file, and the model's row in README.md."""
    train, held_out = digits.load()
    model = vit.trained(train)
    example = torch.zeros(1, 1, digits.SIZE, digits.SIZE)
    program = torch.onnx.export(model, (example,), input_names=["image"], output_names=["logits"], dynamo=True, verbose=False)
    proto = program.model_proto
    for node in proto.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key not in LOCAL_KEYS]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    onnx.save(proto, HERE / "model.onnx")
    digits.write_data(HERE, torch_training.prepare(train.images), torch_training.prepare(held_out.images), held_out.labels, seed=vit.SEED)
    digits.record(HERE)


if __name__ == "__main__":
    main()
