"""Drops what a TFLite file no longer needs: tensors nobody reads, buffers without a tensor, operator codes without an operator."""

import itertools
from collections.abc import Iterable, Mapping

import numpy as np

from bridge.tflite.model import ModelT, SubGraphT


def compact(model: ModelT) -> None:
    """Removes unused tensors, buffers and operator codes in place; everything kept stays in its order."""
    for position, graph in enumerate(model.subgraphs):
        signatures = [signature for signature in model.signatureDefs or () if signature.subgraphIndex == position]
        _drop_tensors(graph, [entry for signature in signatures for entry in (*(signature.inputs or ()), *(signature.outputs or ()))])
    _drop_buffers(model)
    _drop_codes(model)


def _drop_tensors(graph: SubGraphT, entries: list[object]) -> None:
    fields = [(op, name) for op in graph.operators for name in ("inputs", "outputs", "intermediates")] + [(graph, "inputs"), (graph, "outputs")]
    lists = [(owner, name, indices) for owner, name in fields if (indices := getattr(owner, name)) is not None]
    every = np.concatenate([indices for _, _, indices in lists])
    used = np.zeros(len(graph.tensors) + 1, bool)  # the last one stands for an absent operand, -1
    used[every] = True
    used[[entry.tensorIndex for entry in entries]] = True  # type: ignore[attr-defined]  # schema objects are untyped
    moved = np.cumsum(used, dtype=np.int32) - np.int32(1)
    moved[-1] = -1
    every, start = moved[every], 0
    for owner, name, indices in lists:
        setattr(owner, name, every[start : start + len(indices)])
        start += len(indices)
    for entry in entries:
        entry.tensorIndex = int(moved[entry.tensorIndex])  # type: ignore[attr-defined]  # schema objects are untyped
    graph.tensors = list(itertools.compress(graph.tensors, used.tolist()))


def _drop_buffers(model: ModelT) -> None:
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    holders = tensors + list(model.metadata or ())
    moved = _moves([0] + [holder.buffer for holder in holders])
    for holder in holders:
        holder.buffer = moved[holder.buffer]
    model.buffers = [model.buffers[index] for index in moved if index >= 0]
    model.metadataBuffer = None  # superseded by `metadata`, and its indices are no longer right


def _drop_codes(model: ModelT) -> None:
    operators = [operator for graph in model.subgraphs for operator in graph.operators]
    moved = _moves(operator.opcodeIndex for operator in operators)
    for operator in operators:
        operator.opcodeIndex = moved[operator.opcodeIndex]
    model.operatorCodes = [model.operatorCodes[index] for index in moved if index >= 0]


def _moves(used: Iterable[int]) -> Mapping[int, int]:
    """Old index -> new index, in the old order; -1 (an absent operand) stays."""
    return {-1: -1} | {old: new for new, old in enumerate(sorted({index for index in used if index >= 0}))}
