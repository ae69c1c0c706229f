"""What each node adds to the error by itself, on the real kernels: float file and quantized file joined in one graph, cut between the nodes.

In the joined graph the float operators run as they are. Every quantized operator reads, instead of what another node's quantized operators
wrote, the float file's value of that tensor, quantized as the quantized file does it. So each node's operators run alone on reference inputs,
all nodes in one run, and nothing crosses into Python.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from msgspec import Struct, field

from bridge.tflite import model as tflite
from bridge.tflite.run_file import RunFile
from bridge.types import OpOutcome

type Rewritten = tuple[tflite.ModelT, Sequence[OpOutcome]]  # a quantized file, and what became of each operator of the float file

QUANTIZE_VERSION = 1
FLOAT = "float32"

# The values come out as they went in: what there is of an error was made, and is counted, where they were computed.
MOVEMENT_OPS = frozenset(
    {
        "BATCH_TO_SPACE_ND", "BROADCAST_TO", "DEPTH_TO_SPACE", "EXPAND_DIMS", "GATHER", "GATHER_ND", "MIRROR_PAD", "PAD", "PADV2", "RESHAPE",
        "REVERSE_SEQUENCE", "REVERSE_V2", "SLICE", "SPACE_TO_BATCH_ND", "SPACE_TO_DEPTH", "SPLIT", "SPLIT_V", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK",
    }
)  # fmt: skip


class Counterparts(Struct, frozen=True):
    """Which operators and tensors of both files are the same.

    Attributes:
        tensors: float tensor -> the quantized file's tensor that the same operator writes, or the same model input.
        ops: position in the quantized file -> position in the float file; a QUANTIZE or DEQUANTIZE at a border has none.
    """

    tensors: Mapping[int, int]
    ops: Mapping[int, int]


def counterparts(float_model: tflite.ModelT, quantized_model: tflite.ModelT, outcomes: Sequence[OpOutcome]) -> Counterparts:
    """Pairs the two files by what the quantizer did with each operator; names play no part."""
    before, after = tflite.main_graph(float_model), tflite.main_graph(quantized_model)
    ops = {outcome.quantized_index: outcome.index for outcome in outcomes if outcome.quantized_index is not None}
    tensors = dict(zip(before.inputs.tolist(), after.inputs.tolist(), strict=True))
    for position, index in ops.items():
        for tensor, other in zip(before.operators[index].outputs.tolist(), after.operators[position].outputs.tolist(), strict=True):
            if tensor >= 0 and other >= 0:
                tensors[tensor] = other
    return Counterparts(tensors, ops)


def reduced(quantized_model: tflite.ModelT, pairs: Counterparts, owners: Sequence[str], outcomes: Sequence[OpOutcome]) -> frozenset[str]:
    """Nodes that compute in less than float32; operators that only move data count where a node has no other."""
    moving, names = movers(quantized_model, pairs, owners), tflite.op_names(quantized_model)
    found = set()
    for outcome in outcomes:
        if outcome.quantized_index is not None and outcome.precision != FLOAT:
            owner = owners[outcome.index]
            if names[outcome.quantized_index] not in MOVEMENT_OPS or owner in moving:
                found.add(owner)
    return frozenset(found)


def chained(quantized_model: tflite.ModelT, pairs: Counterparts, owners: Sequence[str], reduced: Collection[str]) -> frozenset[str]:
    """Float nodes that read nothing but one float tensor of another float node: what they lose was lost before that node.

    The Log behind a Clip behind an integer MatMul: the Clip hardly notices the rounding of small magnitudes, the Log loses them altogether.
    """
    main = tflite.main_graph(quantized_model)
    writers = {tensor: owners[index] for position, index in pairs.ops.items() for tensor in main.operators[position].outputs.tolist()}
    read: dict[str, set[int]] = {}
    for position, index in pairs.ops.items():
        owner = owners[index]
        for tensor in main.operators[position].inputs.tolist():
            if tensor >= 0 and writers.get(tensor) != owner and not tflite.is_constant(quantized_model, main.tensors[tensor]):
                read.setdefault(owner, set()).add(tensor)
    found = set()
    for owner, tensors in read.items():
        writer = writers.get(min(tensors))
        single = len(tensors) == 1 and tflite.dtype(main.tensors[min(tensors)]).kind == "f"
        if single and owner not in reduced and writer is not None and writer not in reduced:
            found.add(owner)
    return frozenset(found)


def movers(quantized_model: tflite.ModelT, pairs: Counterparts, owners: Sequence[str]) -> frozenset[str]:
    """Nodes whose operators all only move data."""
    names = tflite.op_names(quantized_model)
    moving: dict[str, bool] = {}
    for position, index in pairs.ops.items():
        moves = names[position] in MOVEMENT_OPS
        moving[owners[index]] = moving.get(owners[index], True) and moves
    return frozenset(owner for owner, moves in moving.items() if moves)


class Cut(Struct):
    """Joins the files; one use. `uncut` names the nodes that still read a quantized value of another node, since it has no float counterpart.

    Args:
        float_model: its lists become those of the joined model; what is in them stays as it is.
        quantized_model: left as it is.
        pairs: what is the same in both.
        owners: node of every float operator.
        chained: nodes that read what the node before them really computed, not the float file's value.
    """

    float_model: tflite.ModelT
    quantized_model: tflite.ModelT
    pairs: Counterparts
    owners: Sequence[str]
    chained: frozenset[str] = frozenset()
    uncut: set[str] = field(default_factory=set)
    _shift: int = 0
    _buffers: int = 0
    _operators: list[tflite.OperatorT] = field(default_factory=list)
    _codes: dict[int, int] = field(default_factory=dict)
    _producers: dict[int, int] = field(default_factory=dict)
    _originals: dict[int, int] = field(default_factory=dict)
    _fed: dict[int, int] = field(default_factory=dict)
    _same: dict[int, int] = field(default_factory=dict)
    _quantize: tflite.OperatorT | None = None
    _clones: dict[tuple[int, tuple[int, ...]], int] = field(default_factory=dict)

    def join(self, shown: Sequence[int], own: Sequence[int]) -> RunFile:
        """The joined file.

        Args:
            shown: float tensors that become its first outputs.
            own: tensors of the quantized file that become its other outputs, each computed by its node alone.
        """
        self.lay_out()
        return self.file(shown, own)

    def lay_out(self) -> Sequence[tflite.OperatorT]:
        """Makes the joined model; its operators in order, whatever is shown of it.

        A tensor of the quantized file stands behind all of the float file. Where the quantized one shares its objects with the float one, what an
        operator of the float file would do again on the same values is not done again.
        """
        main, quantized = tflite.main_graph(self.float_model), tflite.main_graph(self.quantized_model)
        self._append_tensors()
        self._originals = {other: tensor for tensor, other in self.pairs.tensors.items()}
        self._producers = {tensor: position for position, op in enumerate(quantized.operators) for tensor in op.outputs.tolist() if tensor >= 0}
        self._operators = list(main.operators)
        for position, op in enumerate(quantized.operators):
            owner = self._owner(position)
            inputs = op.inputs.tolist()
            read = [self.place(tensor) for tensor in inputs] if owner is None else [self._read(tensor, owner) for tensor in inputs]
            outputs = op.outputs.tolist()
            if owner is not None and read == inputs and op is main.operators[self.pairs.ops[position]]:
                self._same |= zip(outputs, outputs, strict=True)
            else:
                self._operators.append(self._copy(op, read, [self.place(tensor) for tensor in outputs]))
        return self._operators

    def file(self, shown: Sequence[int], own: Sequence[int]) -> RunFile:
        """The joined file as `join` gives it, once it is laid out."""
        outputs = [*shown, *(self.place(tensor) for tensor in own)]
        main = tflite.main_graph(self.float_model)
        main.operators, used = _needed(self._operators, outputs)
        self._empty_all_but(used)
        return tflite.expose(self.float_model, outputs)

    def _append_tensors(self) -> None:
        """Buffers and tensors of the quantized file behind those of the float file."""
        main, quantized = tflite.main_graph(self.float_model), tflite.main_graph(self.quantized_model)
        self._shift, self._buffers = len(main.tensors), len(self.float_model.buffers)
        self.float_model.buffers += self.quantized_model.buffers[1:]  # buffer 0 is the empty one in both
        shared = [index for index, (one, other) in enumerate(zip(main.tensors, quantized.tensors, strict=False)) if one is other]
        self._same = {index: index for index in shared if tflite.is_constant(self.quantized_model, quantized.tensors[index])}
        main.tensors += [
            tensor if index in self._same else _tensor_copy(tensor, tensor.buffer + self._buffers - 1 if tensor.buffer else 0)
            for index, tensor in enumerate(quantized.tensors)
        ]

    def _empty_all_but(self, used: Collection[int]) -> None:
        """Leaves nothing but its place of what was added and is not used."""
        tensors, buffers = tflite.main_graph(self.float_model).tensors, self.float_model.buffers
        unused = tflite.new_tensor("", "FLOAT32", ())
        tensors[self._shift :] = [one if index in used else unused for index, one in enumerate(tensors[self._shift :], self._shift)]
        filled = {one.buffer for one in tensors[self._shift :]}
        buffers[self._buffers :] = [one if index in filled else buffers[0] for index, one in enumerate(buffers[self._buffers :], self._buffers)]

    def _owner(self, position: int) -> str | None:
        """Node of an operator of the quantized file; None at a border, where it belongs to whoever reads its result."""
        index = self.pairs.ops.get(position)
        return None if index is None else self.owners[index]

    def place(self, tensor: int) -> int:
        """Index in the joined file of a tensor of the quantized one."""
        return self._same.get(tensor, tensor + self._shift) if tensor >= 0 else tensor

    def _read(self, tensor: int, owner: str) -> int:
        """What an operator of `owner` reads in place of a tensor: the tensor itself only if `owner` wrote it."""
        if tensor < 0 or tflite.is_constant(self.quantized_model, tflite.main_graph(self.quantized_model).tensors[tensor]):
            return self.place(tensor)
        position = self._producers.get(tensor)
        if position is None:
            return self._reference(tensor, owner) if tensor in self._originals else self.place(tensor)  # a variable has no original
        writer = self._owner(position)
        if writer is None:
            return self._read_through_border(tensor, position, owner)
        return self.place(tensor) if writer == owner or owner in self.chained else self._reference(tensor, owner)

    def _read_through_border(self, tensor: int, position: int, owner: str) -> int:
        """The result of a border operator; a copy of the operator where its input is replaced."""
        op = tflite.main_graph(self.quantized_model).operators[position]
        sources = op.inputs.tolist()
        inputs = tuple([self._read(source, owner) for source in sources])
        if inputs == tuple([self.place(source) for source in sources]):
            return self.place(tensor)
        if (tensor, inputs) not in self._clones:
            made = self._clone(tensor)
            self._operators.append(self._copy(op, inputs, [made]))
            self._clones[tensor, inputs] = made
        return self._clones[tensor, inputs]

    def _reference(self, tensor: int, owner: str) -> int:
        """The float file's value of a tensor, in the type that the quantized file has it in."""
        if tensor not in self._originals:
            self.uncut.add(owner)
            return self.place(tensor)
        original = self._originals[tensor]
        main = tflite.main_graph(self.float_model)
        if main.tensors[original].type == main.tensors[self.place(tensor)].type:
            return original
        if tensor not in self._fed:
            made = self._fed[tensor] = self._clone(tensor)
            if self._quantize is None:
                self._quantize = tflite.add_op(self.float_model, "QUANTIZE", QUANTIZE_VERSION, [], [])
            operator = tflite.shallow_copy(self._quantize)
            operator.inputs, operator.outputs = np.asarray([original], np.int32), np.asarray([made], np.int32)
            self._operators.append(operator)
        return self._fed[tensor]

    def _clone(self, tensor: int) -> int:
        """A further tensor like one of the quantized file, without a value."""
        main = tflite.main_graph(self.float_model)
        main.tensors.append(_tensor_copy(main.tensors[self.place(tensor)], 0))
        return len(main.tensors) - 1

    def _copy(self, op: tflite.OperatorT, inputs: Sequence[int], outputs: Sequence[int]) -> tflite.OperatorT:
        """An operator of the quantized file, placed in the joined one."""
        if op.opcodeIndex not in self._codes:
            self.float_model.operatorCodes.append(self.quantized_model.operatorCodes[op.opcodeIndex])
            self._codes[op.opcodeIndex] = len(self.float_model.operatorCodes) - 1
        copy = tflite.shallow_copy(op)
        copy.opcodeIndex = self._codes[op.opcodeIndex]
        copy.inputs, copy.outputs = np.asarray(inputs, np.int32), np.asarray(outputs, np.int32)
        if op.intermediates is not None:
            copy.intermediates = np.asarray([self.place(int(tensor)) for tensor in op.intermediates], np.int32)
        return copy


def _tensor_copy(tensor: tflite.TensorT, buffer: int) -> tflite.TensorT:
    copy = tflite.shallow_copy(tensor)
    copy.name, copy.buffer = None, buffer  # nobody asks for it by name
    return copy


def _needed(operators: Sequence[tflite.OperatorT], outputs: Sequence[int]) -> tuple[list[tflite.OperatorT], set[int]]:
    """The operators that the outputs depend on, and those that write none but keep state; and all tensors of theirs."""
    wanted, kept = set(outputs), []
    for op in reversed(operators):
        written = op.outputs.tolist()
        if not written or not wanted.isdisjoint(written):
            wanted.update(written, op.inputs.tolist(), () if op.intermediates is None else op.intermediates.tolist())
            kept.append(op)
    return kept[::-1], wanted
