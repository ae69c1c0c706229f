"""Lets a file run a stretch of its operators alone, without writing it again."""

import struct
from collections.abc import Sequence

import numpy as np

from bridge.tflite.outputs import ALIGNMENT, GRAPH_FIELDS, MODEL_FIELDS, OUTPUTS, SUBGRAPHS
from bridge.tflite.run_file import RunFile
from bridge.tflite.unpack import Tables

INPUTS, OPERATORS = 1, GRAPH_FIELDS
MOST_ENDS = 64  # inputs, and outputs, of a stretch
LIST_BYTES = 4 * (MOST_ENDS + 1)


class Stretches:
    """Changes in place which operators, inputs and outputs the main graph of a file has; whoever has opened it before keeps what was shown then.

    A list of the file is a count and what it counts. One that begins inside another needs no room: its count stands where the element in front
    of it stood, until the whole list is shown again. Other inputs and outputs stand behind the file, as in `with_outputs`.

    Args:
        file: made by `run_file`, with operators, inputs and outputs; grows by the room for other ones.
    """

    def __init__(self, file: RunFile) -> None:
        self._end = file.end + -file.end % ALIGNMENT
        file.grow(self._end + 2 * LIST_BYTES)
        self._content = file.mapped()
        tables = Tables(self._content)
        graph = tables.each(tables.fields(tables.target(0), MODEL_FIELDS)[SUBGRAPHS])[0]
        fields = tables.fields(graph, GRAPH_FIELDS + 1)
        self._inputs, self._outputs, self._operators = fields[INPUTS], fields[OUTPUTS], fields[OPERATORS]
        self._whole = {place: tables.target(place) for place in (self._inputs, self._outputs, self._operators)}
        self._replaced: tuple[int, bytes] | None = None

    def show(self, first: int, last: int, inputs: Sequence[int], outputs: Sequence[int] | None = None) -> None:
        """Shows the operators from `first` on that come before `last`.

        Args:
            first: operator.
            last: operator behind the stretch.
            inputs: tensors that they are fed, at most MOST_ENDS.
            outputs: tensors that they show, at most MOST_ENDS; None for those of the file.
        """
        self.whole()
        start = self._whole[self._operators] + 4 * first
        self._replaced = start, self._content[start : start + 4]
        self._write(start, struct.pack("<I", last - first))
        self._refer(self._operators, start)
        self._list(self._inputs, self._end, inputs)
        if outputs is not None:
            self._list(self._outputs, self._end + LIST_BYTES, outputs)

    def whole(self) -> None:
        """Shows all operators again."""
        if self._replaced is None:
            return
        self._write(*self._replaced)
        self._replaced = None
        for place, target in self._whole.items():
            self._refer(place, target)

    def _list(self, field: int, place: int, tensors: Sequence[int]) -> None:
        self._write(place, struct.pack("<I", len(tensors)) + np.asarray(tensors, "<i4").tobytes())
        self._refer(field, place)

    def _refer(self, field: int, target: int) -> None:
        self._write(field, struct.pack("<I", target - field))

    def _write(self, place: int, content: bytes) -> None:
        self._content[place : place + len(content)] = content
