"""The convert stage: normalised graph in, proved float TFLite file out."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from bridge import heap
from bridge.convert import build_map, onnx2tf_process, onnx_file
from bridge.convert.activations import fuse_activations
from bridge.convert.build_map import Reference
from bridge.convert.layout import INPUT_LAYOUTS, InputLayout, channels_last_inputs
from bridge.convert.onnx2tf_process import Onnx2tfOptions
from bridge.errors import UnsupportedModelError
from bridge.files import move_file, write_joined
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, Graph

__all__ = ["INPUT_LAYOUTS", "InputLayout", "to_float_tflite"]


def to_float_tflite(
    graph: Graph,
    output: Path,
    *,
    reference: Reference,
    probes: Sequence[Mapping[str, np.ndarray]],
    input_layout: InputLayout,
    options: Onnx2tfOptions,
    saved_model: Path | None = None,
    threads: int,
) -> ConvertedModel:
    """Runs onnx2tf on a private copy and writes `output` only after both runtimes agree.

    Args:
        graph: the normalised model.
        output: path of the float32 .tflite.
        reference: the user's model in onnxruntime: inputs in, every tensor out.
        probes: input sets in the user's layout that prove the tensors.
        input_layout: `auto` makes image inputs channels-last, `keep` leaves every input as it is, `nhwc` moves all of rank 4.
        options: how onnx2tf runs.
        saved_model: where the SavedModel that the file was made from goes, None to drop it.
        threads: threads of the TFLite runs.

    Raises:
        ToolError: onnx2tf fails or takes too long, or its file disagrees with onnxruntime.
        UnsupportedModelError: onnx2tf left operators that TFLite does not have.
    """
    kept = {safe for safe, user in graph.tensor_names.items() if user in graph.keep_layout}
    channels_last = tuple(name for name in channels_last_inputs(graph.model, input_layout) if name not in kept)
    keep = [str(value.name) for value in graph.model.graph.inputs if value.name not in channels_last]
    with tempfile.TemporaryDirectory(prefix="bridge-") as folder:
        source = Path(folder) / "model.onnx"
        onnx_file.save(graph.model, source)
        written = onnx2tf_process.run(source, keep_inputs=keep, options=options)
        model = tflite.read_once(written)  # forgotten if it is changed
        _refuse_custom(graph, model)
        if any([_restore_tanh_gelu(graph, model), fuse_activations(model)]):
            write_joined(written, tflite.pieces(model), over=source)  # another file, since the model is what lies in this one
            del model
            tflite.forget_files()
            heap.give_back()
        tensor_map = build_map.build(graph, written, channels_last=channels_last, reference=reference, probes=probes, threads=threads)
        sha256 = move_file(written, output)
        if saved_model is not None:
            onnx2tf_process.keep_saved_model(written, saved_model)
    return ConvertedModel(path=output, sha256=sha256, tensor_map=tensor_map, onnx2tf_version=onnx2tf_process.version())


def _restore_tanh_gelu(graph: Graph, model: tflite.ModelT) -> bool:
    """Sets the option that onnx2tf 2.6.9 leaves out of every GELU, so that `approximate = tanh` runs as the exact GELU: 74 dB instead of 144."""
    kinds = {str(node.outputs[0].name): node.attributes.get_string("approximate", "none") for node in graph.model.graph if node.op_type == "Gelu"}
    only_tanh = set(kinds.values()) == {"tanh"}
    main = tflite.main_graph(model)
    changed = False
    for op in main.operators:
        if tflite.op_name(model, op) == "GELU" and (only_tanh or kinds.get(tflite.text(main.tensors[op.outputs[0]].name)) == "tanh"):
            tflite.set_options(op, "GeluOptions", approximate=True)
            changed = True
    return changed


def _refuse_custom(graph: Graph, model: tflite.ModelT) -> None:
    """Stops at operators that no TFLite runtime has, all of them at once."""
    main = tflite.main_graph(model)
    custom = {
        tflite.op_name(model, op).removeprefix("CUSTOM:"): tflite.text(main.tensors[op.outputs[0]].name)
        for op in main.operators
        if tflite.op_name(model, op).startswith("CUSTOM:")
    }
    if custom:
        named = ", ".join(f"{name} (writes {graph.tensor_names.get(tensor, tensor)!r})" for name, tensor in custom.items())
        raise UnsupportedModelError(
            f"TFLite has no operator for: {named}.",
            hint="Replace these nodes by standard ONNX operators before converting.",
            causes=["no-tflite-operator"],
        )
