"""`tensor_map.json`: the tensor map on disk, for people, other tools and later comparisons."""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from bridge.errors import InputError
from bridge.indented_json import indented
from bridge.tflite import model as tflite
from bridge.types import TensorMap

SCHEMA_VERSION = 1


def tensor_map_json(tensor_map: TensorMap, *, model_sha256: str) -> str:
    """The file's text; `model_sha256` is the digest of the float TFLite file that the map is of."""
    parts = msgspec.structs.asdict(tensor_map)
    return indented({"schema_version": SCHEMA_VERSION, "model_sha256": model_sha256} | parts) + "\n"


def read_tensor_map(path: Path) -> TensorMap:
    """The map that `tensor_map_json` wrote.

    Raises:
        InputError: the file cannot be read, or is no tensor map of this version.
    """
    hint = "Give the tensor_map.json that `bridge convert` wrote."
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is no JSON: {error}.", hint=hint) from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        version = content.get("schema_version") if isinstance(content, dict) else None
        raise InputError(f"{path}: is no tensor map of schema_version {SCHEMA_VERSION}. Received: {version!r}.", hint=hint)
    try:
        return msgspec.convert(content, TensorMap)
    except msgspec.ValidationError as error:
        raise InputError(f"{path}: {error}.", hint=hint) from error


def check_tensor_map(found: TensorMap, model: tflite.ModelT, *, where: str, operators: int | None = None) -> None:
    """Refuses a map that is not of a file.

    Args:
        found: the map.
        model: the float file, or one that was quantized from it.
        where: names the map in errors.
        operators: how many the float file has, if that is known.

    Raises:
        InputError: they do not belong together; names the first contradiction.
    """
    problem = next(_contradictions(found, model, operators), None)
    if problem is not None:
        raise InputError(
            f"{where}: does not belong to the TFLite file: {problem}.", hint="Give the tensor_map.json of the conversion that wrote the file."
        )


def _contradictions(found: TensorMap, model: tflite.ModelT, operators: int | None) -> Iterator[str]:
    main = tflite.main_graph(model)
    if operators is not None and len(found.owners) != operators:
        yield f"it has owners of {len(found.owners)} operators, the float file has {operators}"
    if len(found.inputs) != len(main.inputs):
        yield f"it has {len(found.inputs)} inputs, the file {len(main.inputs)}"
    for binding, index in zip(found.inputs, main.inputs, strict=False):
        sizes = tflite.shape(main.tensors[index])
        if not _is_order(binding.permutation, len(binding.onnx_shape)) or tuple(binding.onnx_shape[axis] for axis in binding.permutation) != sizes:
            yield f"input {binding.onnx_name!r} {list(binding.onnx_shape)} in the order {list(binding.permutation)} is not the file's {list(sizes)}"
        if binding.dtype not in tflite.TYPES:
            yield f"input {binding.onnx_name!r} has the unknown type {binding.dtype!r}"
    shapes = {tflite.text(tensor.name): tflite.shape(tensor) for tensor in main.tensors}
    for pair in (*found.pairs, *found.outputs):
        own = shapes.get(pair.tflite_tensor or "")
        if own is not None and not (_is_order(pair.permutation, len(own)) and math.prod(own) == math.prod(pair.onnx_shape)):
            yield f"tensor {pair.tensor!r} {list(pair.onnx_shape)} in the order {list(pair.permutation)} is not the file's {list(own)}"


def _is_order(permutation: Sequence[int], rank: int) -> bool:
    return sorted(permutation) == list(range(rank))
