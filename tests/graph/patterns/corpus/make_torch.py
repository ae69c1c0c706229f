"""Writes the corpus files of torch's two exporters; needs torch, onnx, onnxscript and onnxruntime.

uv run --no-project --with torch --with onnx --with onnxscript --with onnxruntime python tests/graph/patterns/corpus/make_torch.py
"""

import io
import logging
import sys
import warnings
from pathlib import Path

import onnx
import onnxruntime
import torch
from torch import nn
from torch_blocks import BLOCKS
from torch_layers import ACTIVATIONS, NORMS

HERE = Path(__file__).parent
KEPT = ("pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy")
EXPORTERS = {"torchscript-17": (False, 17), "dynamo-17": (True, 17), "dynamo-18": (True, 18), "dynamo-20": (True, 20), "dynamo-23": (True, 23)}  # fmt: skip


def _export(model: nn.Module | torch.export.ExportedProgram, inputs: tuple[torch.Tensor, ...], *, opset: int) -> onnx.ModelProto:
    if isinstance(model, torch.export.ExportedProgram):
        return torch.onnx.export(model, inputs, dynamo=True, opset_version=opset, verbose=False).model_proto
    buffer = io.BytesIO()
    torch.onnx.export(model, inputs, buffer, dynamo=False, opset_version=opset)
    return onnx.load_from_string(buffer.getvalue())


def _stripped(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without stack traces and intermediate shapes, with the module paths."""
    model.doc_string = model.graph.doc_string = ""
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        part.doc_string = ""
        kept = [(entry.key, entry.value) for entry in part.metadata_props if entry.key in KEPT]
        del part.metadata_props[:]
        for key, value in kept:
            part.metadata_props.add(key=key, value=value)
    return model


def _write(path: Path, model: nn.Module | torch.export.ExportedProgram, inputs: tuple[torch.Tensor, ...], opset: int) -> None:
    try:
        proto = _stripped(_export(model, inputs, opset=opset))
        onnxruntime.InferenceSession(proto.SerializeToString())
    except Exception as error:  # noqa: BLE001  # exporters raise anything; the table shows the gap
        sys.stderr.write(f"{path.name}: {type(error).__name__}: {str(error).splitlines()[0][:150]}\n")
        return
    if proto.opset_import[0].version != opset:
        sys.stderr.write(f"{path.name}: got opset {proto.opset_import[0].version}\n")
        return
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(proto.SerializeToString())


def main(*wanted: str) -> None:
    """Writes the spellings whose name starts with one of `wanted`, all if there are none; says which an exporter cannot write."""
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for name, make in {**NORMS, **ACTIVATIONS, **BLOCKS}.items():
        if wanted and not name.startswith(wanted):
            continue
        torch.manual_seed(0)
        model, inputs = make()
        model.eval()
        program = torch.export.export(model, inputs)
        for exporter, (dynamo, opset) in EXPORTERS.items():
            _write(HERE / f"{name}.{exporter}.onnx", program if dynamo else model, inputs, opset)


if __name__ == "__main__":
    main(*sys.argv[1:])
