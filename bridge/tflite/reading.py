"""TFLite files as objects of the schema, and copies of them to change."""

import contextlib
import copy
import dataclasses
import functools
import mmap
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bridge.errors import InputError
from bridge.tflite.names import FILE_IDENTIFIER, ModelT
from bridge.tflite.run_file import pages_used_again
from bridge.tflite.unpack import shallow_copy, unpack

SMALLEST_MAPPED = 1 << 20
NO_INDICES = np.zeros(0, np.int32)


def read(path: Path) -> ModelT:
    """Reads a TFLite file; constant data are views of one copy of its bytes, which the last two files share with whoever reads them again.

    Raises:
        InputError: the file is missing, or is no TFLite flatbuffer.
    """
    return copied(read_once(path))


def read_once(path: Path) -> ModelT:
    """Like `read`, for work that only looks: nobody changes what it returns, and `forget_files` ends the work.

    Raises:
        InputError: the file is missing, or is no TFLite flatbuffer.
    """
    try:
        now = path.stat()
        return _read_version(_Version(path, now.st_dev, now.st_ino, now.st_mtime_ns, now.st_size))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", hint="Check the path of the .tflite file.", code="model-unreadable") from error


@dataclasses.dataclass(frozen=True, slots=True)
class _Version:
    """A file as it is now: a path may be written again, and a file may be moved."""

    path: Path = dataclasses.field(compare=False)
    device: int
    inode: int
    mtime_ns: int
    size: int


@functools.lru_cache(maxsize=2)
def _read_version(version: _Version) -> ModelT:
    content = _content(version.path)
    model = parse(content, where=str(version.path))
    model.content = content  # of the file that it is as long as nobody changes it
    return model


def _content(path: Path) -> bytes | mmap.mmap:
    """The bytes of a file; those of a large one are read when they are looked at, and are the system's to drop."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size < SMALLEST_MAPPED:
            return file.read()
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def forget_files() -> None:
    """Gives back the memory of the files that were read last."""
    _read_version.cache_clear()
    _made.clear()


_made: dict[str, tuple[ModelT, Any]] = {}


def made_once[T](model: ModelT, name: str, make: Callable[[ModelT], T]) -> T:
    """What is made of a model of `read_once`, under a name; kept until it is made of another one, or the files are forgotten."""
    if name not in _made or _made[name][0] is not model:
        _made[name] = model, make(model)
    found: T = _made[name][1]
    return found


@contextlib.contextmanager
def kept_files() -> Iterator[None]:
    """A stretch of work that reads the same files over and over; their memory is given back at its end."""
    try:
        with pages_used_again():
            yield
    finally:
        forget_files()


def parse(content: bytes | mmap.mmap, *, where: str) -> ModelT:
    """Unpacks the bytes of a TFLite file; `where` names it in errors.

    Raises:
        InputError: the bytes are no TFLite flatbuffer.
    """
    if content[4:8] != FILE_IDENTIFIER:
        raise InputError(f"{where}: not a TFLite file (no TFL3 identifier). Received: {content[:8]!r}.", code="model-unreadable")
    try:
        model = unpack(content)
        model.apart = False  # whether data lie behind the flatbuffer
        for buffer in model.buffers:
            if buffer.offset > 1:  # data behind the flatbuffer, as in files above 2 GB
                buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
                buffer.offset = buffer.size = 0
                model.apart = True
        _fill_in(model)
    except Exception as error:  # the generated reader raises whatever a broken offset leads to
        raise InputError(f"{where}: the TFLite flatbuffer is damaged: {error}.", code="model-unreadable") from error
    return model


def _fill_in(model: ModelT) -> None:
    """Lists that a file leaves out are empty."""
    for graph in model.subgraphs or ():
        graph.tensors, graph.operators = graph.tensors or [], graph.operators or []
        for owner in (graph, *graph.operators):
            owner.inputs = NO_INDICES if owner.inputs is None else owner.inputs
            owner.outputs = NO_INDICES if owner.outputs is None else owner.outputs


def copied(model: ModelT) -> ModelT:
    """A model of its own to change; only arrays are shared, which nobody writes to."""
    made = shallow_copy(model)
    for of_a_file in ("content", "base"):
        vars(made).pop(of_a_file, None)
    made.operatorCodes, made.buffers = _copies(model.operatorCodes), _copies(model.buffers)
    made.metadata, made.signatureDefs = copy.deepcopy(model.metadata), copy.deepcopy(model.signatureDefs)
    made.subgraphs = _copies(model.subgraphs)
    for graph in made.subgraphs or ():
        graph.tensors, graph.operators = _copies(graph.tensors), _copies(graph.operators)
        for tensor in graph.tensors or ():
            tensor.quantization = shallow_copy(tensor.quantization)
        for op in graph.operators or ():
            op.builtinOptions = shallow_copy(op.builtinOptions)
    return made


def _copies(objects: list[Any] | None) -> list[Any] | None:
    return None if objects is None else [shallow_copy(one) for one in objects]
