"""Weights of large models on disk: one copy, which onnxruntime and the graph map, and which the system may drop from memory.

A model of protobuf holds its weights in memory that cannot be mapped, each view of it in Python has its own copy, and so has onnxruntime.
"""

import math
import mmap
import shutil
import tempfile
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import Message  # type: ignore[import-untyped]  # protobuf ships no types
from onnx.external_data_helper import load_external_data_for_model

from bridge import heap
from bridge.files import write_pieces

LARGE = 4 << 20  # bytes of weights that are worth it
SMALLEST = 1 << 12  # of a weight
ALIGNMENT = 64
FILE = "weights"
FOLDER = "bridge.weights"  # the model's metadata that says where the file is


class Folder:
    """A folder that is gone when nobody has it any more."""

    def __init__(self) -> None:
        self.path = tempfile.mkdtemp(prefix="bridge-")
        weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


_FOLDERS: "weakref.WeakValueDictionary[str, Folder]" = weakref.WeakValueDictionary()


def set_aside(model: onnx.ModelProto) -> tuple[onnx.ModelProto, Folder | None]:
    """The model with its weights in a file, and the folder of that, which whoever has the model keeps; the model itself where they are few.

    Args:
        model: with its weights inside; left as it is.

    Raises:
        OSError: there is no room for the file.
    """
    if (folder := folder_of(model)) is not None:
        return model, folder
    sizes = {tensor.name: _bytes(tensor) for tensor in model.graph.initializer if tensor.HasField("raw_data")}
    if sum(size for size in sizes.values()) < LARGE:
        return model, None
    heap.return_large_blocks()
    light = onnx.ModelProto()
    _copy_but(model, light, "graph")
    _copy_but(model.graph, light.graph, "initializer")
    folder = _folder_for(light)
    with (Path(folder.path) / FILE).open("wb") as file:
        for tensor in model.graph.initializer:
            if sizes.get(tensor.name, 0) < SMALLEST:
                light.graph.initializer.append(tensor)
                continue
            file.seek(-file.tell() % ALIGNMENT, 1)
            moved = light.graph.initializer.add()
            _copy_but(tensor, moved, "raw_data")
            _refer(moved, file.tell(), sizes[tensor.name])
            file.write(tensor.raw_data)
    return light, folder


def set_these_aside(model: onnx.ModelProto, content: mmap.mmap, places: Mapping[int, tuple[int, int]]) -> Folder:
    """Likewise, of weights that the model does not have inside any more, and that lie in a mapped file.

    Args:
        model: is told where its weights are.
        content: of the file.
        places: position among the initializers -> first byte in the file, and first byte behind it.

    Raises:
        OSError: there is no room for the file.
    """
    heap.return_large_blocks()
    folder = _folder_for(model)
    with (Path(folder.path) / FILE).open("wb") as file:
        for position, (start, end) in places.items():
            file.seek(-file.tell() % ALIGNMENT, 1)
            _refer(model.graph.initializer[position], file.tell(), end - start)
            write_pieces(file, np.frombuffer(content, np.uint8, end - start, start))
    return folder


def _folder_for(model: onnx.ModelProto) -> Folder:
    folder = Folder()
    _FOLDERS[folder.path] = folder
    model.metadata_props.add(key=FOLDER, value=folder.path)
    return folder


def _refer(tensor: onnx.TensorProto, offset: int, length: int) -> None:
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", FILE), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)


def size_of(tensor: onnx.TensorProto) -> int:
    """Bytes of a weight that was set aside."""
    return int(next(entry.value for entry in tensor.external_data if entry.key == "length"))


def data_of(model: onnx.ModelProto, tensor: onnx.TensorProto) -> np.ndarray | None:
    """The bytes of a weight, uint8 of one axis, which may be mapped; None where it has none as such."""
    folder = folder_of(model)
    if folder is None or not tensor.external_data:
        return np.frombuffer(tensor.raw_data, np.uint8) if tensor.HasField("raw_data") else None
    offset = next(int(entry.value) for entry in tensor.external_data if entry.key == "offset")
    return np.memmap(Path(folder.path) / FILE, np.uint8, "r", offset, size_of(tensor))


def folder_of(model: onnx.ModelProto) -> Folder | None:
    """Where the weights of the model are, None where they are inside."""
    return next((found for entry in model.metadata_props if entry.key == FOLDER and (found := _FOLDERS.get(entry.value))), None)


def brought_back(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with its weights inside, for those who know no other."""
    folder = folder_of(model)
    if folder is None:
        return model
    whole = onnx.ModelProto()
    whole.CopyFrom(model)
    load_external_data_for_model(whole, folder.path)
    others = [entry for entry in whole.metadata_props if entry.key != FOLDER]
    del whole.metadata_props[:]
    whole.metadata_props.extend(others)
    return whole


def _bytes(tensor: onnx.TensorProto) -> int:
    """Asking for the data makes a copy of them."""
    return int(math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize)


def _copy_but(source: Message, target: Message, left_out: str) -> None:
    """All fields but one."""
    for field, value in source.ListFields():
        if field.name == left_out:
            continue
        if field.is_repeated:
            getattr(target, field.name).extend(value)
        elif field.message_type is not None:
            getattr(target, field.name).CopyFrom(value)
        else:
            setattr(target, field.name, value)
