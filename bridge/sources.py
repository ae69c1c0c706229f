"""Opens a model: reads it, puts in what the user registered for its custom operators, normalises it."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
from msgspec import Struct
from msgspec.structs import replace

from bridge import frontends, graph
from bridge.calibrate import synthetic
from bridge.compare import OnnxRunner, Reference, TFLiteRunner, evaluator_instead
from bridge.custom_ops import CustomCall, CutModel, custom_calls, cut, part_between, with_decompositions
from bridge.errors import InputError, ToolError, UnsupportedModelError, UsageError
from bridge.large_weights import brought_back, set_aside
from bridge.tflite import model as tflite
from bridge.types import Diagnostic, Graph, NodeFacts, QuantizedSource, SourceModel, SourceNode, TensorSpec

type FirstSample = Callable[[Sequence[TensorSpec]], Mapping[str, np.ndarray]]


class OpenedModel(Struct, frozen=True):
    """A model that both onnxruntime and the graph stage understand.

    Attributes:
        model: without local functions, and without the operators that become TFLite CUSTOM operators; onnxruntime runs this one.
        graph: the same, normalised; the nodes that were taken out stand among its nodes too.
        inputs: what the user feeds.
        calls: the nodes of the user's file that have a registered operator.
        cut: what was taken out, None if nothing was.
        reference: what the results are compared with: `model`, and where the user's model is quantized, that model.
        quantized: what a quantized model says about itself; `model` is the float one inside of it then. None for a float model.
    """

    model: SourceModel
    graph: Graph
    inputs: tuple[TensorSpec, ...]
    calls: tuple[CustomCall, ...]
    cut: CutModel | None
    reference: SourceModel
    quantized: QuantizedSource | None = None


def random_sample(inputs: Sequence[TensorSpec]) -> Mapping[str, np.ndarray]:
    """One synthetic sample."""
    return synthetic(inputs, seed=0, samples=1)[0]


def open_model(
    source: object,
    *,
    input_shapes: Mapping[str, tuple[int, ...]],
    constants: Mapping[str, np.ndarray] = MappingProxyType({}),
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
    start: Sequence[str] = (),
    end: Sequence[str] = (),
    first_sample: FirstSample = random_sample,
) -> OpenedModel:
    """The model that every command works on.

    Args:
        source: what the frontends accept.
        input_shapes: sizes for inputs whose shape the model leaves open, by input name; of the others the sizes are those of the sample.
        constants: values of inputs that the model shall not have any more, by name.
        example_inputs: as `frontends.load` takes them.
        signature: likewise.
        start: tensors that become the inputs, to take a part of the model.
        end: tensors that become the outputs.
        first_sample: a sample of the user's inputs; asked for where the model leaves sizes open, and for the shapes of what TFLite CUSTOM operators write.

    Raises:
        InputError: it cannot be read, or the shapes do not fit.
        UsageError: no frontend accepts it, or what is registered for an operator fails.
        UnsupportedModelError: it cannot become TFLite; names every cause.
    """
    loaded = frontends.load(source, input_shapes=input_shapes, example_inputs=example_inputs, signature=signature)
    if loaded.float_file is not None:
        return _float_tflite(loaded, loaded.float_file, parts=(*start, *end, *constants))
    calls = custom_calls(loaded.proto)
    if start or end or constants or calls or loaded.proto.functions or graph.is_quantized(loaded.proto):  # which look at weights
        loaded = replace(loaded, proto=brought_back(loaded.proto), weights=None)
    if start or end:
        loaded = replace(loaded, proto=part_between(loaded.proto, start, end), confirm=None)  # a live model runs as a whole
        calls = custom_calls(loaded.proto)
    inlined = graph.inline_local_functions(replace(loaded, proto=with_decompositions(loaded.proto)))
    model, input_shapes = _sized(graph.fix_inputs(inlined, constants), input_shapes, first_sample)
    ours = [call for call in calls if call.op.tflite_custom]
    if not ours:
        return _without_custom_operators(model, calls, input_shapes)
    inputs = tuple(_spec(value, input_shapes) for value in _inputs(model.proto))
    taken_out = cut(model.proto, ours, first_sample(inputs), open_runner=lambda part: OnnxRunner(part).run)
    rest = replace(model, proto=taken_out.model, confirm=None)  # a live model cannot be run without its custom operators
    left = {value.name for value in taken_out.model.graph.input}
    normal = graph.normalize(rest, input_shapes={name: shape for name, shape in input_shapes.items() if name in left or name not in _names(inputs)})
    return OpenedModel(rest, _with_custom_nodes(normal, model.proto, taken_out), inputs, calls, taken_out, rest)


def _sized(
    model: SourceModel, input_shapes: Mapping[str, tuple[int, ...]], first_sample: FirstSample
) -> tuple[SourceModel, Mapping[str, tuple[int, ...]]]:
    """With the sizes of the sample where neither the model nor the user says any; an open batch alone is left to `normalize`, which makes it 1."""
    inputs = _inputs(model.proto)
    if not all(value.type.tensor_type.HasField("shape") for value in inputs):
        return model, input_shapes
    specs = [_open_spec(value, input_shapes) for value in inputs]
    open_specs = [spec for spec in specs if any(isinstance(size, str) for size in spec.shape[1:])]
    sample = first_sample(specs) if open_specs else {}
    found = {spec: sample[spec.name].shape for spec in open_specs if spec.name in sample}
    taken = {
        spec: shape for spec, shape in found.items() if any(size > 1 and isinstance(own, str) for own, size in zip(spec.shape, shape, strict=False))
    }
    notes = tuple(
        Diagnostic(
            "size-of-samples",
            "info",
            f"Input {spec.name!r} is [{', '.join(map(str, spec.shape))}] in the model; it was fixed to {list(shape)}, the shape of a sample.",
            "--input NAME=1x3x224x224 chooses other sizes.",
        )
        for spec, shape in taken.items()
    )
    return replace(model, diagnostics=(*model.diagnostics, *notes)), {spec.name: shape for spec, shape in taken.items()} | dict(input_shapes)


def _without_custom_operators(model: SourceModel, calls: tuple[CustomCall, ...], input_shapes: Mapping[str, tuple[int, ...]]) -> OpenedModel:
    split = graph.split_quantization(model.proto)
    if split is None:
        if not calls:  # who checks and cuts them reads constants of the model
            proto, weights = set_aside(model.proto)
            model = replace(model, proto=proto, weights=weights)
        normal = graph.normalize(model, input_shapes=input_shapes)
        return OpenedModel(model, normal, normal.inputs, calls, None, model)
    inside = replace(model, proto=split.inside, confirm=None)
    normal = split.with_all_nodes(graph.normalize(inside, input_shapes=input_shapes))
    return OpenedModel(inside, normal, normal.inputs, calls, None, replace(model, proto=split.whole), split.said)


def _float_tflite(model: SourceModel, path: Path, *, parts: Sequence[str]) -> OpenedModel:
    if parts:
        raise UsageError(
            f"{path}: a TFLite file is taken as a whole, and its inputs stay. Received: {', '.join(parts)}.",
            hint="Cut the model that it was made from.",
        )
    normal = graph.tflite_graph(model, tflite.read(path))
    return OpenedModel(model, normal, normal.inputs, (), None, model)


def open_reference(
    model: SourceModel, samples: Sequence[Mapping[str, np.ndarray]] = (), *, threads: int, intermediates: bool = True
) -> tuple[Reference, tuple[Diagnostic, ...]]:
    """The model in onnxruntime, held to the live model it was exported from, and what there is to say about it; a TFLite file in LiteRT.

    Where onnxruntime lacks a float64 kernel it runs in float32; where it cannot run the model at all, ONNX's own evaluator does.

    Args:
        model: what `open_model` gave.
        samples: the first one is tried, if there is one.
        threads: threads of one run.
        intermediates: whether every tensor is shown.

    Raises:
        InputError: the model is malformed.
        UnsupportedModelError: nothing here has one of its operators.
        ToolError: it does not run, or the export changed what the model computes.
    """
    if model.float_file is not None:
        return TFLiteRunner(model.float_file, threads=threads, intermediates=intermediates), ()
    reference, notes = _reference(model, samples, threads=threads, intermediates=intermediates)
    if model.confirm is not None:
        model.confirm(reference.run)
    return reference, notes


def _reference(
    model: SourceModel, samples: Sequence[Mapping[str, np.ndarray]], *, threads: int, intermediates: bool
) -> tuple[Reference, tuple[Diagnostic, ...]]:
    try:
        return _tried(model.proto, samples, threads=threads, intermediates=intermediates), ()
    except (InputError, ToolError, UnsupportedModelError) as error:
        narrow = graph.narrowed(brought_back(model.proto)) if isinstance(error, UnsupportedModelError) else None
        if narrow is not None:
            with contextlib.suppress(UnsupportedModelError):
                return _tried(narrow, samples, threads=threads, intermediates=intermediates), ()
        return evaluator_instead(brought_back(model.proto), samples, error, intermediates=intermediates)


def _tried(model: onnx.ModelProto, samples: Sequence[Mapping[str, np.ndarray]], *, threads: int, intermediates: bool) -> OnnxRunner:
    runner = OnnxRunner(model, threads=threads, intermediates=intermediates)
    if samples:
        runner.run(samples[0], runner.outputs)
    return runner


def _names(specs: Sequence[TensorSpec]) -> set[str]:
    return {spec.name for spec in specs}


def _inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    constants = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in constants]


def _spec(value: onnx.ValueInfoProto, input_shapes: Mapping[str, tuple[int, ...]]) -> TensorSpec:
    """With 1 for every size that nobody knows, as `normalize` does it."""
    kind = value.type.tensor_type
    sizes = tuple(dim.dim_value if dim.dim_value > 0 else 1 for dim in kind.shape.dim)
    return TensorSpec(value.name, input_shapes.get(value.name, sizes), onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)


def _open_spec(value: onnx.ValueInfoProto, input_shapes: Mapping[str, tuple[int, ...]]) -> TensorSpec:
    """With a name for every size that is open; some exporters write -1 for one, or 0 for the batch."""
    kind = value.type.tensor_type
    sizes = tuple(
        dim.dim_value if dim.dim_value > 0 or (axis and dim.HasField("dim_value") and dim.dim_value == 0) else dim.dim_param or "?"
        for axis, dim in enumerate(kind.shape.dim)
    )
    return TensorSpec(value.name, input_shapes.get(value.name, sizes), onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name)


def _with_custom_nodes(normal: Graph, whole: onnx.ModelProto, taken_out: CutModel) -> Graph:
    """The graph with a row for each node that was taken out, at its place in the file."""
    specs = {spec.name: spec for node in normal.nodes for spec in (*node.inputs, *node.outputs)} | dict(taken_out.written)
    position = {name: index for index, node in enumerate(whole.graph.node) for name in node.output}
    nodes, sources = list(normal.nodes), list(normal.source_nodes)
    for call in taken_out.calls:
        place = position[next(name for name in call.outputs if name)]
        scope = call.name.strip("/").rpartition("/")[0]
        facts = NodeFacts(
            name=call.name,
            op_type=call.op.op_type,
            domain=call.op.domain,
            patterns=(),
            scope=scope,
            origins=(call.name,),
            inputs=tuple(specs.get(name, TensorSpec(name, (), "")) for name in call.inputs if name),
            outputs=tuple(taken_out.written[name] for name in call.outputs if name),
            attributes=call.attributes,
        )
        row = SourceNode(call.name, call.op.op_type, call.op.domain, scope, tuple(call.outputs), "kept", call.name)
        nodes.insert(_place(nodes, [[spec.name for spec in node.outputs] for node in nodes], position, place), facts)
        sources.insert(_place(sources, [node.outputs for node in sources], position, place), row)
    return replace(normal, nodes=tuple(nodes), source_nodes=tuple(sources), keep_layout=frozenset(taken_out.written))


def _place(rows: Sequence[object], outputs: Sequence[Sequence[str]], position: Mapping[str, int], place: int) -> int:
    """Before the first row that stands behind `place` in the file."""
    behind = (index for index, names in enumerate(outputs) if any(position.get(name, -1) > place for name in names))
    return next(behind, len(rows))
