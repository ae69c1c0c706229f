"""A float TFLite file that is there already takes the place of a converted one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bridge.agreement import agreement_db
from bridge.convert.build_map import Reference
from bridge.convert.layout import InputLayout
from bridge.convert.onnx2tf_process import Via
from bridge.errors import UsageError
from bridge.files import copy_file
from bridge.tflite import model as tflite
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter
from bridge.types import ConvertedModel, Graph, InputBinding, TensorMap, TensorPair


def adopt(
    graph: Graph,
    source: Path,
    output: Path,
    *,
    reference: Reference,
    probes: Sequence[Mapping[str, np.ndarray]],
    input_layout: InputLayout,
    via: Via,
    threads: int,
) -> ConvertedModel:
    """Copies the file byte by byte; every tensor stands for itself, with the agreement of both kinds of kernels on the first probe.

    Args:
        graph: the operators of the file.
        source: the float .tflite file.
        output: where the copy goes.
        reference: the file on LiteRT's builtin kernels.
        probes: input sets, at least one.
        input_layout: what the user asked for; a file that is there keeps its own.
        via: likewise; onnx2tf has nothing to do.
        threads: threads of the TFLite run.

    Raises:
        UsageError: another layout of the inputs is asked for.
        ToolError: the file does not run.
    """
    if input_layout == "nhwc":
        raise UsageError(f"{source}: a TFLite file keeps the layout of its inputs. Received: input_layout=nhwc.", hint="Leave it out.")
    if via != "direct":
        raise UsageError(f"{source}: a TFLite file is there already, onnx2tf does not run. Received: via={via}.", hint="Leave it out.")
    model = tflite.read_once(source)
    main = tflite.main_graph(model)
    bindings = _bindings(model)
    fed = {int(index) for index in main.inputs}
    computed = [index for index in tflite.activations(model) if index not in fed]
    values = Interpreter(tflite.expose(model, computed), threads=threads).run(feed(bindings, probes[0]))
    expected = reference(probes[0])
    agreement = {
        name: agreement_db(expected[name], value)
        for name, value in zip((tflite.text(main.tensors[index].name) for index in computed), values, strict=True)
        if value.shape == expected[name].shape  # else the size depends on the data
    }
    tensor_map = own_map(graph, model, agreement)
    return ConvertedModel(path=output, sha256=copy_file(source, output), tensor_map=tensor_map, onnx2tf_version="not used")


def own_map(graph: Graph, model: tflite.ModelT, agreement: Mapping[str, float | None] = MappingProxyType({})) -> TensorMap:
    """The tensor map of a file that is its own source.

    Args:
        graph: the operators of the file.
        model: the file.
        agreement: tensor -> SQNR in dB between both kinds of kernels, where it was measured.
    """
    pairs = {
        spec.name: TensorPair(
            node=node.name,
            tensor=spec.name,
            status="mapped",
            tflite_tensor=spec.name,
            onnx_shape=tuple(int(size) for size in spec.shape),
            permutation=tuple(range(len(spec.shape))),
            evidence="name",
            sqnr_db=agreement.get(spec.name),
        )
        for node in graph.nodes
        for spec in node.outputs
    }
    return TensorMap(
        pairs=tuple(pairs.values()),
        inputs=_bindings(model),
        outputs=tuple(pairs[spec.name] for spec in graph.outputs),
        owners=tuple(node.name for node in graph.nodes),
        absorbed={},
    )


def _bindings(model: tflite.ModelT) -> tuple[InputBinding, ...]:
    return tuple(
        InputBinding(name, tflite.text(tensor.name), tflite.shape(tensor), tuple(range(len(tflite.shape(tensor)))), tflite.dtype(tensor).name)
        for name, tensor in tflite.named_inputs(model).items()
    )
