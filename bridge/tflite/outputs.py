"""Gives a file other outputs without reading and writing all that is in it."""

import mmap
import struct
from collections.abc import Iterable

import numpy as np

from bridge.tflite.run_file import RunFile
from bridge.tflite.unpack import ABSENT, Tables

ALIGNMENT = 16
MODEL_FIELDS, SUBGRAPHS, SIGNATURES = 8, 2, 7
GRAPH_FIELDS, OUTPUTS = 3, 2


def with_outputs(content: bytes | mmap.mmap, tensors: Iterable[int]) -> RunFile:
    """The file with the given tensors as the only outputs of its main graph, and without signatures.

    The new lists stand behind the file, as all offsets lead forward; only the two that led to the old ones change.

    Args:
        content: of a TFLite file that can be read, whose main graph has outputs.
        tensors: of its main graph.
    """
    tables = Tables(content)
    model = tables.fields(tables.target(0), MODEL_FIELDS)
    main = tables.fields(tables.each(model[SUBGRAPHS])[0], GRAPH_FIELDS)
    outputs = np.fromiter(tensors, "<i4")
    end = len(content) + -len(content) % ALIGNMENT
    lists = struct.pack("<II", 0, len(outputs)) + outputs.tobytes()
    places = {main[OUTPUTS]: end + 4} | ({model[SIGNATURES]: end} if model[SIGNATURES] != ABSENT else {})
    changed = [(place, struct.pack("<I", target - place)) for place, target in places.items()]
    return RunFile([(0, memoryview(content)), *changed, (end, lists)], outputs.tolist())
