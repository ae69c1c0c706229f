"""TensorFlow and Keras models as ONNX by tf2onnx; the only file of this package that imports them."""

import contextlib
import hashlib
import io
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # its start-up notes go to stderr, past any logger

import h5py
import keras
import numpy as np
import onnx
import tensorflow as tf
import tf2onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from tensorflow.core.protobuf import saved_model_pb2

from bridge.errors import InputError, UnsupportedModelError, UsageError, first_line
from bridge.frontends.archives import check_archive, is_archive
from bridge.frontends.confirmation import confirmation
from bridge.frontends.fake_quant import OPERATORS as FAKE_QUANT
from bridge.frontends.fake_quant import write_fake_quant
from bridge.frontends.hdf5_trial import try_file
from bridge.frontends.illegal_ops import replace_illegal_ops
from bridge.frontends.keras_code import refuse_code
from bridge.frontends.known_weights import KnownWeight, store_known_weights
from bridge.frontends.source_options import SourceOptions
from bridge.frontends.token_products import move_reshapes_behind_rounding
from bridge.types import Confirmation, SourceModel

TOUCHING_OPERATORS = frozenset({"EagerPyFunc", "PyFunc", "PyFuncStateless", "SaveDataset", "SaveDatasetV2", "WriteFile"})
OPSET = 18  # the highest of tf2onnx 1.17


def from_keras(model: Any, options: SourceOptions) -> SourceModel:
    """A live Keras 3 model on the TensorFlow backend, in inference mode.

    Raises:
        UsageError: another backend, or a subclassed model that has never been called and comes without example inputs.
        UnsupportedModelError: tf2onnx has no translation for an operator.
    """
    if keras.backend.backend() != "tensorflow":
        raise UsageError(
            f"{model.name}: Keras runs on {keras.backend.backend()}, and only its TensorFlow backend can be exported here.",
            hint="Set KERAS_BACKEND=tensorflow, save the model as .keras and give that file.",
        )
    specs, nest = _keras_inputs(model, options)

    def call(*values: Any) -> Any:
        return model(nest(values), training=False)

    known: Sequence[KnownWeight] = getattr(model, "known_weights", tuple)()
    return _from_call(call, specs, where=model.name, framework="keras", layers=layer_names(model), known=known)


def from_keras_file(source: str | Path, options: SourceOptions) -> SourceModel:
    """A `.keras` or `.h5` file, read in safe mode: no code from the file runs.

    Raises:
        InputError: it holds code, or Keras cannot read it; custom layers have to be registered in Python.
    """
    path = Path(source)
    if not path.is_file():
        raise InputError(f"{path}: there is no such file.", hint="Check the path of the model.", code="model-not-found")
    if is_archive(path):
        check_archive(path)
    try_file(path)
    refuse_code(path)
    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # whatever a broken or foreign file leads to inside of Keras
        raise InputError(
            f"{path}: Keras cannot read it: {_cause(error)}", hint=_KERAS_2_HINT if _is_keras_2(path) else _OWN_LAYERS_HINT, code="model-unreadable"
        ) from error
    return _of_file(from_keras(model, options), path, path.read_bytes())


_OWN_LAYERS_HINT = "A model with layers of your own is built in Python: register them with keras.saving and call bridge.convert(model)."
_KERAS_2_HINT = "The file is of Keras 2. If you trust it: tf_keras.models.load_model(file).export(folder), then give that SavedModel folder."


def _is_keras_2(path: Path) -> bool:
    try:
        with h5py.File(path) as file:
            version = file.attrs.get("keras_version", "")
    except (OSError, RuntimeError, KeyError):  # no HDF5, or a damaged one
        return False
    return str(version.decode() if isinstance(version, bytes) else version).startswith("2.")


def from_saved_model(source: str | Path, options: SourceOptions) -> SourceModel:
    """A SavedModel folder, by one of its signatures.

    Raises:
        InputError: TensorFlow cannot read it.
        UsageError: it has no signature of that name, or several and none is named.
    """
    path = Path(source)
    _refuse_file_operators(path)
    try:
        loaded = tf.saved_model.load(str(path))
    except Exception as error:  # whatever a broken folder leads to inside of TensorFlow
        raise InputError(
            f"{path}: TensorFlow cannot read it: {_cause(error)}", hint="Give the folder that holds saved_model.pb.", code="model-unreadable"
        ) from error
    names = sorted(loaded.signatures)
    wanted = options.signature or ("serving_default" if "serving_default" in names else names[0] if len(names) == 1 else "")
    if wanted not in names:
        received = f"Received: {wanted!r}." if wanted else "None was chosen."
        raise UsageError(f"{path}: there is no such signature. {received}", hint=f"--signature, one of: {', '.join(names) or '(it has none)'}.")
    function = loaded.signatures[wanted]
    declared = function.structured_input_signature[1]
    specs = _fixed([tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in declared.items()], options, where=str(path))
    traced = _from_call(lambda *values: function(**dict(zip(declared, values, strict=True))), specs, where=str(path), framework="tensorflow")
    return _of_file(traced, path, *(part.read_bytes() for part in sorted(path.rglob("*")) if part.is_file()))


def _refuse_file_operators(path: Path) -> None:
    """A SavedModel runs its initializers when it is loaded; none has to write files or to call Python."""
    found = saved_model_pb2.SavedModel()
    try:
        found.ParseFromString((path / "saved_model.pb").read_bytes())
    except (OSError, DecodeError):
        return  # TensorFlow says what is wrong
    graphs = [graph.graph_def for graph in found.meta_graphs]
    nodes = [node for graph in graphs for part in (graph.node, *(function.node_def for function in graph.library.function)) for node in part]
    touching = sorted({node.op for node in nodes} & TOUCHING_OPERATORS)
    if touching:
        raise InputError(
            f"{path}: its graph holds {', '.join(touching)}, which no model has to do.", hint="Do not load this folder.", code="code-in-file"
        )


def from_function(function: Any, options: SourceOptions) -> SourceModel:
    """A `tf.function`, by its input signature or by example inputs.

    Raises:
        UsageError: it has neither.
    """
    where = getattr(function, "__name__", "tf.function")
    examples = _by_position(options.example_inputs)
    if function.input_signature is not None:
        specs = [
            spec if spec.name else tf.TensorSpec(spec.shape, spec.dtype, name=f"input_{place}") for place, spec in enumerate(function.input_signature)
        ]
    elif examples:
        specs = [tf.TensorSpec(np.shape(value), tf.as_dtype(np.asarray(value).dtype), name=name) for name, value in examples.items()]
    else:
        raise UsageError(
            f"{where}: a tf.function without an input signature needs example inputs.",
            hint="Give example_inputs=(x,).",
            code="missing-example-inputs",
        )
    return _from_call(function, _fixed(specs, options, where=where), where=where, framework="tensorflow")


def _from_call(
    call: Callable[..., Any], specs: Sequence[Any], *, where: str, framework: str, layers: Collection[str] = (), known: Sequence[KnownWeight] = ()
) -> SourceModel:
    text = [spec.name for spec in specs if spec.dtype == tf.string]
    if text:
        raise UnsupportedModelError(
            f"{where}: input {text[0]!r} is text, which TFLite cannot compute on.", hint="Export the part behind it.", causes=["string"]
        )
    function = tf.function(call, input_signature=specs)
    tf2onnx.utils.INTERNAL_NAME = 1  # it numbers nodes through all models of a process: the same model would give other files
    try:
        with _quiet():
            kept: dict[str, Any] = dict.fromkeys(FAKE_QUANT, (write_fake_quant, []))
            proto, _ = tf2onnx.convert.from_function(function, input_signature=specs, opset=OPSET, custom_op_handlers=kept)
    except Exception as error:  # tracing runs the user's own code
        raise UnsupportedModelError(
            f"{where}: TensorFlow cannot trace it, or tf2onnx cannot translate it: {_cause(error)}", code="export-failed"
        ) from error
    foreign = [value.name for value in proto.graph.input if value.name not in {spec.name for spec in specs}]
    if foreign:
        raise UnsupportedModelError(
            f"{where}: tf2onnx made {len(foreign)} tensors that the function captures inputs of the model.",
            hint="Compute them inside of the function, or make them tf.Variables.",
            code="export-failed",
        )
    _name_by_layers(proto, layers)
    move_reshapes_behind_rounding(proto)
    store_known_weights(proto, known)
    diagnostics = replace_illegal_ops(proto)
    digest = hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    names = [value.name for value in proto.graph.output]
    rounds = any(node.op_type == "QuantizeLinear" for node in proto.graph.node)
    confirm = _confirmation(where, [str(spec.name) for spec in specs], names, function, specs, rounds=rounds)
    return SourceModel(proto=proto, digest=digest, framework=framework, diagnostics=diagnostics, confirm=confirm)


def _of_file(source: SourceModel, path: Path, *contents: bytes) -> SourceModel:
    digest = hashlib.sha256()
    for content in contents:
        digest.update(content)
    return SourceModel(source.proto, digest.hexdigest(), path, source.framework, source.diagnostics, source.confirm)


def _keras_inputs(model: Any, options: SourceOptions) -> tuple[list[Any], Callable[[Sequence[Any]], Any]]:
    """Specs of the inputs, and what makes the model's argument of their values."""
    examples = _by_position(options.example_inputs)
    symbolic = getattr(model, "inputs", None)
    if symbolic:
        names = _argument_names(model, len(symbolic))
        specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name=name) for name, tensor in zip(names, symbolic, strict=True)]
        structure = getattr(model, "_inputs_struct", None)
        if structure is None or (isinstance(structure, list | tuple) and len(structure) == 1):  # a Sequential takes the tensor itself
            structure = symbolic[0] if len(symbolic) == 1 else symbolic
        return _fixed(specs, options, where=model.name), lambda values: keras.tree.pack_sequence_as(structure, list(values))
    if examples:
        specs = [tf.TensorSpec(np.shape(value), tf.as_dtype(np.asarray(value).dtype), name=name) for name, value in examples.items()]
        keys = list(examples) if isinstance(options.example_inputs, Mapping) else None
        return specs, lambda values: dict(zip(keys, values, strict=True)) if keys else values[0] if len(values) == 1 else list(values)
    raise UsageError(
        f"{model.name}: a subclassed model needs example inputs: it does not know its own.",
        hint="Give example_inputs=(x,).",
        code="missing-example-inputs",
    )


def _argument_names(model: Any, count: int) -> list[str]:
    names = [str(getattr(tensor, "name", "") or f"input_{place}") for place, tensor in enumerate(model.inputs)]
    return names if len(set(names)) == count else [f"input_{place}" for place in range(count)]


def _by_position(examples: object) -> dict[str, Any]:
    if examples is None:
        return {}
    if isinstance(examples, Mapping):
        return dict(examples)
    values = examples if isinstance(examples, tuple | list) else (examples,)
    return {f"input_{place}" if len(values) > 1 else "input": value for place, value in enumerate(values)}


def _fixed(specs: Sequence[Any], options: SourceOptions, *, where: str) -> list[Any]:
    """Open sizes filled in: those of `input_shapes`, else 1 for the leading axis."""
    found = []
    for spec in specs:
        shape = options.input_shapes.get(spec.name)
        sizes = list(shape) if shape is not None else [1 if place == 0 and size is None else size for place, size in enumerate(spec.shape or ())]
        if (spec.shape.rank is None and shape is None) or None in sizes or not spec.shape.is_compatible_with(sizes):
            raise UsageError(
                f"{where}: the sizes of input {spec.name!r} are {spec.shape}. Received: {shape}.", hint=f"--input {spec.name}=1x224x224x3, all sizes."
            )
        found.append(tf.TensorSpec(sizes, spec.dtype, name=spec.name))
    return found


def layer_names(model: Any) -> frozenset[str]:
    """Names of a Keras model and of all layers inside."""
    return frozenset({model.name} | {layer.name for layer in model._flatten_layers()})


def _name_by_layers(proto: onnx.ModelProto, layers: Collection[str]) -> None:
    """Plain names for nodes and the tensors inside, so that a model gives the same file however often it was traced before; names that would meet stay."""
    ends = {value.name for value in (*proto.graph.input, *proto.graph.output)}
    inside = {name for node in proto.graph.node for name in (*node.input, *node.output)} - ends
    tensors = _renamed(inside, layers, taken=ends)
    names = [plain_name(node.name, layers) for node in proto.graph.node]
    count = Counter([*names, *(node.name for node, name in zip(proto.graph.node, names, strict=True) if node.name != name)])
    for node, name in zip(proto.graph.node, names, strict=True):
        node.name = name if count[name] == 1 else node.name
        node.input[:] = [tensors.get(one, one) for one in node.input]
        node.output[:] = [tensors.get(one, one) for one in node.output]
    for value in (*proto.graph.initializer, *proto.graph.value_info):
        value.name = tensors.get(value.name, value.name)


def _renamed(names: Collection[str], layers: Collection[str], *, taken: Collection[str]) -> dict[str, str]:
    plain = {name: plain_name(name, layers) for name in names}
    count = Counter([*plain.values(), *(name for name, new in plain.items() if name != new), *taken])
    return {name: new for name, new in plain.items() if count[new] == 1}


def plain_name(name: str, layers: Collection[str]) -> str:
    """`small_1/stem_1/convolution` as `small/stem/convolution`: TensorFlow counts every name up when a model is traced again.

    Where the model's own name was, `conv2d_1` is the layer `conv2d`, and the layer `conv2d_1` is `conv2d_1_1`.
    """

    def base(part: str) -> str:
        return re.sub(r"_\d+$", "", part)

    parts = name.split("/")
    counted = parts[0] not in layers and base(parts[0]) in layers
    return "/".join(base(part) if base(part) in layers and (counted or part not in layers) else part for part in parts)


def _confirmation(where: str, inputs: Sequence[str], outputs: Sequence[str], function: Any, specs: Sequence[Any], *, rounds: bool) -> Confirmation:
    """Holds the exported model to what TensorFlow computes for random inputs."""
    rng = np.random.default_rng(0)
    feeds = {
        name: rng.standard_normal(spec.shape).astype(spec.dtype.as_numpy_dtype)
        if spec.dtype.is_floating
        else rng.integers(0, 2, spec.shape).astype(spec.dtype.as_numpy_dtype)
        for name, spec in zip(inputs, specs, strict=True)
    }
    flat = tf.nest.flatten(function(*map(tf.constant, feeds.values())))
    message = f"{where}: what tf2onnx wrote computes something else than the model"
    return confirmation(message, outputs, feeds, [value.numpy() for value in flat], rounds=rounds)


def _cause(error: BaseException) -> str:
    """What went wrong, without the trace that TensorFlow puts in front of it."""
    lines = (line.strip() for line in str(error).splitlines())
    found = next((line for line in lines if re.match(r"\w+(Error|Exception|Warning): ", line)), first_line(error))
    return found.partition(" Full object config: ")[0].partition(" using config={")[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """tf2onnx complains at error level about Erfc, which is replaced later."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
