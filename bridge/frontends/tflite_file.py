"""Reads float TFLite files, to quantize and compare them; they are not turned into ONNX."""

from pathlib import Path

import onnx

from bridge.errors import InputError, UnsupportedModelError, UsageError
from bridge.files import digest
from bridge.frontends.source_options import SourceOptions
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.trial import tried
from bridge.types import SourceModel

FRAMEWORK = "tflite"
QUANTIZING_OPS = frozenset({"DEQUANTIZE", "QUANTIZE"})
NAMED = 3  # operators in one message


def from_tflite_file(source: str | Path, options: SourceOptions) -> SourceModel:
    """A float `.tflite` file, whoever wrote it; its shapes and layouts stay.

    Raises:
        InputError: it cannot be read, is damaged, or is quantized already.
        UsageError: an option is given that asks for another model than the file holds.
        UnsupportedModelError: it has operators or types that this runtime or the quantizer does not know.
        ToolError: LiteRT cannot load it, or crashes on it.
    """
    path = Path(source)
    with tried(path) as model:
        _refuse_options(path, model, options)
        _refuse_quantized(path, model)
        _refuse_foreign(path, model)
        _refuse_unwritten(path, model)
    Interpreter(path)
    return SourceModel(
        proto=onnx.ModelProto(),
        digest=digest(path),
        path=path,
        framework=FRAMEWORK,
        float_file=path,
    )


def _refuse_options(path: Path, model: tflite.ModelT, options: SourceOptions) -> None:
    if options.signature is not None or options.example_inputs is not None:
        raise UsageError(f"{path}: a TFLite file needs no signature and no example inputs.", hint="Leave them out.")
    own = {name: tflite.shape(tensor) for name, tensor in tflite.named_inputs(model).items()}
    for name, shape in options.input_shapes.items():
        if own.get(name) != tuple(shape):
            known = ", ".join(f"{one}={'x'.join(map(str, sizes))}" for one, sizes in own.items())
            raise UsageError(
                f"{path}: the shapes of a TFLite file are fixed: {known}. Received: {name}={'x'.join(map(str, shape))}.",
                hint="Convert the original model with the other shape.",
            )


def _refuse_quantized(path: Path, model: tflite.ModelT) -> None:
    for graph in model.subgraphs:
        for op in graph.operators:
            name = tflite.op_name(model, op)
            if name in QUANTIZING_OPS:
                written = tflite.text(graph.tensors[op.outputs[0]].name)
                raise InputError(f"{path}: is quantized or float16 already: {name} writes {written!r}.", hint=_FLOAT_HINT, code="already-quantized")
        for tensor in graph.tensors:
            if tensor.quantization is not None and tensor.quantization.scale is not None and len(tensor.quantization.scale):
                name, kind = tflite.text(tensor.name), tflite.TYPE_NAMES[tensor.type]
                raise InputError(f"{path}: is quantized already: tensor {name!r} is {kind} with a scale.", hint=_FLOAT_HINT, code="already-quantized")


def _refuse_unwritten(path: Path, model: tflite.ModelT) -> None:
    main = tflite.main_graph(model)
    written = {int(tensor) for op in main.operators for tensor in op.outputs}
    names = [tflite.text(main.tensors[index].name) for index in main.outputs if int(index) not in written]
    if names:
        raise InputError(
            f"{path}: no operator writes the output {names[0]!r}, which is an input or a constant.",
            hint="Leave it out of the outputs: the app has its value already.",
            code="model-invalid",
        )


_FLOAT_HINT = "Give the float32 file: with TFLiteConverter, the one made without `optimizations`."


def _refuse_foreign(path: Path, model: tflite.ModelT) -> None:
    """All operators and types at once that neither LiteRT nor the quantizer has."""
    main = tflite.main_graph(model)
    custom = {tflite.op_name(model, op).removeprefix("CUSTOM:") for op in main.operators if tflite.op_name(model, op).startswith("CUSTOM:")}
    if custom:
        raise UnsupportedModelError(
            f"{path}: LiteRT has no kernel for the CUSTOM operators {', '.join(sorted(custom))}.",
            hint="With TFLiteConverter: supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS] says what has no operator of TFLite's own.",
            causes=["no-tflite-operator"],
        )
    foreign = {tflite.text(tensor.name): tflite.TYPE_NAMES[tensor.type] for tensor in main.tensors if tensor.type not in tflite.DTYPES}
    if foreign:
        some = ", ".join(f"{name!r} is {kind}" for name, kind in list(foreign.items())[:NAMED])
        raise UnsupportedModelError(
            f"{path}: {len(foreign)} tensors have types that cannot be compared: {some}.",
            hint="Models with strings or resource variables have to be split: export the part that computes on numbers.",
            causes=["no-tflite-type"],
        )
