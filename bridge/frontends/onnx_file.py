"""Reads ONNX files that may come from strangers; never writes."""

import hashlib
import mmap
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

from bridge.errors import InputError
from bridge.frontends.illegal_ops import replace_illegal_ops
from bridge.frontends.source_options import SourceOptions
from bridge.frontends.structure import check_structure, tensors
from bridge.frontends.weights_apart import without_weights
from bridge.large_weights import set_these_aside
from bridge.types import SourceModel

LARGE = 1 << 25  # bytes of a file whose weights are not read into memory
LARGEST_WITHOUT_WEIGHTS = 1 << 24  # bytes of a file that has its weights elsewhere
LOCATION = b"\x0a\x08location"  # the key of an entry of `external_data`, with its field and its length
_EXPORT_HINT = "Give the .onnx file that the exporter wrote, whole and binary."


def from_file(source: str | Path, _options: SourceOptions) -> SourceModel:
    """`load`, as frontends are asked."""
    return load(Path(source))


def load(path: Path) -> SourceModel:
    """The model in memory, external data included, operators that ONNX does not have replaced.

    Raises:
        InputError: the file cannot be read, is no ONNX model, or its external data lies outside its folder.
    """
    if (large := _load_large(path)) is not None:
        return large
    content = _read(path)
    model = _parse(path, content)
    digest = hashlib.sha256(content)
    del content
    _load_external_data(path, model, digest)
    check_structure(model, where=str(path))
    return SourceModel(proto=model, digest=digest.hexdigest(), path=path, diagnostics=replace_illegal_ops(model))


def _load_large(path: Path) -> SourceModel | None:
    """The model with its weights set aside, without a copy of them in memory; None where it is small, or not as exporters write it."""
    if not path.is_file() or path.stat().st_size < LARGE:
        return None
    try:
        with path.open("rb") as file:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        rest = without_weights(content)
        model = _parse(path, rest.content) if rest is not None else None
    except (OSError, ValueError, InputError):  # an empty file cannot be mapped, and what is wrong is said of the whole
        return None
    if rest is None or model is None or not rest.weights or any(uses_external_data(tensor) for tensor in tensors(model)):
        return None
    digest = hashlib.sha256(content).hexdigest()
    folder = set_these_aside(model, content, rest.weights)
    check_structure(model, where=str(path))
    return SourceModel(proto=model, digest=digest, path=path, diagnostics=replace_illegal_ops(model), weights=folder)


def without_data(path: Path) -> onnx.ModelProto | None:
    """The model of a file whose weights lie in others, which are not read; None where they do not.

    Raises:
        InputError: the file cannot be read, or is no ONNX model.
    """
    if path.is_file() and path.stat().st_size > LARGEST_WITHOUT_WEIGHTS:
        return None
    content = _read(path)
    return _parse(path, content) if LOCATION in content else None


def files(path: Path) -> tuple[Path, ...]:
    """The file and its external data, as far as those lie in its folder; the file alone where it is no ONNX model."""
    try:
        model = _parse(path, _read(path))
    except InputError:
        return (path,)
    named = {entry.value for tensor in tensors(model) if uses_external_data(tensor) for entry in tensor.external_data if entry.key == "location"}
    found = [path.parent / name for name in sorted(named)]
    return (path, *(one for one in found if one.is_file() and one.resolve().is_relative_to(path.parent.resolve())))


def _read(path: Path) -> bytes:
    try:
        if path.is_dir():
            raise InputError(f"{path}: is a folder, not an ONNX file.", hint=_EXPORT_HINT, code="model-unreadable")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such file.", hint="Check the path of the model.", code="model-not-found") from error
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror or error}.", hint="Check the path of the model.", code="model-unreadable"
        ) from error


def _parse(path: Path, content: bytes) -> onnx.ModelProto:
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise InputError(
            f"{path}: is not an ONNX model, or it is cut off ({len(content)} bytes).", hint=_EXPORT_HINT, code="model-unreadable"
        ) from error
    if not model.ir_version or not model.opset_import or not (model.graph.node or model.graph.output):
        raise InputError(
            f"{path}: is not an ONNX model: it has no graph or no opset ({len(content)} bytes).", hint=_EXPORT_HINT, code="model-unreadable"
        )
    return model


def _load_external_data(path: Path, model: onnx.ModelProto, digest: "hashlib._Hash") -> None:
    """Reads external tensors; onnx itself refuses absolute paths, `..`, links and ranges outside the file."""
    for tensor in tensors(model):
        if uses_external_data(tensor):
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            try:
                load_external_data_for_tensor(tensor, str(path.absolute().parent))
            except (onnx.checker.ValidationError, ValueError, OSError, RuntimeError) as error:
                raise InputError(
                    f"{path}: external data {location!r} of tensor {tensor.name!r} cannot be read: {str(error).strip()}",
                    hint="External data must be plain files in the model's folder, as the exporter wrote them.",
                    code="model-unreadable",
                ) from error
            digest.update(tensor.raw_data)
