"""Cases of operators that copy values: layout, slices, joins and selections."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import numpy as np
from case_data import DATA, EXACT, ONE_ROUNDING, SAMPLES, Case, ints, normal, refusing, rng, weight
from one_op import OneOp, Options

TOO_LARGE = {"float16": "float16 ends at 65504"}


def _concatenation() -> Iterator[Case]:
    for name, make in DATA.items():
        yield Case(name, OneOp("CONCATENATION", {0: make(2, 5, 3), 1: normal(2, 5, 4)}, [(2, 5, 7)], options=("ConcatenationOptions", {"axis": 2})))
    yield Case("axis-0", OneOp("CONCATENATION", {0: normal(2, 5), 1: normal(3, 5)}, [(5, 5)], options=("ConcatenationOptions", {"axis": 0})))
    yield Case("axis-minus-1", OneOp("CONCATENATION", {0: normal(2, 5), 1: normal(2, 3)}, [(2, 8)], options=("ConcatenationOptions", {"axis": -1})))
    yield Case("constant", OneOp("CONCATENATION", {0: normal(2, 5)}, [(2, 8)], {1: weight(2, 3)}, ("ConcatenationOptions", {"axis": 1})))
    many = {position: normal(1, 2, 3, key=position) for position in range(9)}
    yield Case("nine", OneOp("CONCATENATION", many, [(1, 18, 3)], options=("ConcatenationOptions", {"axis": 1})))
    yield Case(
        "rank-5",
        OneOp(
            "CONCATENATION", {0: normal(1, 2, 3, 2, 2), 1: normal(1, 2, 3, 2, 1)}, [(1, 2, 3, 2, 3)], options=("ConcatenationOptions", {"axis": 4})
        ),
    )


def _moved(
    op: str,
    name: str,
    shape: tuple[int, ...],
    output: tuple[int, ...],
    constants: Mapping[int, np.ndarray],
    options: Options | None = None,
    *,
    data: int = 0,
    outputs: int = 1,
) -> Iterator[Case]:
    yield Case(name, OneOp(op, {data: normal(*shape)}, [output] * outputs, constants, options), **EXACT)


def _movement() -> Iterator[Case]:
    yield from _moved("RESHAPE", "flat", (2, 3, 4), (6, 4), {1: ints(6, 4)}, ("ReshapeOptions", {}))
    yield from _moved("TRANSPOSE", "rank-4", (1, 3, 4, 5), (1, 5, 3, 4), {1: ints(0, 3, 1, 2)})
    yield from _moved("TRANSPOSE", "rank-5", (1, 3, 4, 5, 2), (2, 1, 5, 3, 4), {1: ints(4, 0, 3, 1, 2)})
    yield from _moved("TRANSPOSE", "rank-6", (1, 3, 4, 5, 2, 2), (2, 2, 1, 5, 3, 4), {1: ints(5, 4, 0, 3, 1, 2)})
    yield from _moved("PAD", "rank-4", (1, 3, 4, 5), (1, 5, 6, 5), {1: ints([0, 0], [1, 1], [2, 0], [0, 0])})
    yield from _moved("PAD", "rank-2", (3, 4), (5, 4), {1: ints([1, 1], [0, 0])})
    yield from _moved("PAD", "rank-5", (1, 3, 4, 5, 2), (1, 5, 4, 5, 2), {1: ints([0, 0], [1, 1], [0, 0], [0, 0], [0, 0])})
    positive = np.abs(normal(1, 3, 4, 5)) + np.float32(2)
    yield Case("positive", OneOp("PAD", {0: positive}, [(1, 5, 4, 5)], {1: ints([0, 0], [1, 1], [0, 0], [0, 0])}), **EXACT)
    yield from _moved(
        "MIRROR_PAD", "reflect", (1, 3, 4, 5), (1, 5, 6, 5), {1: ints([0, 0], [1, 1], [2, 0], [0, 0])}, ("MirrorPadOptions", {"mode": 0})
    )
    yield from _moved(
        "MIRROR_PAD", "symmetric", (1, 3, 4, 5), (1, 5, 6, 5), {1: ints([0, 0], [1, 1], [2, 0], [0, 0])}, ("MirrorPadOptions", {"mode": 1})
    )
    yield from _moved("SLICE", "rank-3", (2, 5, 4), (1, 3, 4), {1: ints(1, 1, 0), 2: ints(1, 3, -1)})
    yield from _moved("SLICE", "rank-5", (2, 5, 4, 2, 2), (1, 3, 4, 2, 2), {1: ints(1, 1, 0, 0, 0), 2: ints(1, 3, -1, 2, 2)})
    strides = {1: ints(0, 1, 0), 2: ints(2, 5, 4), 3: ints(1, 2, 1)}
    yield from _moved("STRIDED_SLICE", "step-2", (2, 5, 4), (2, 2, 4), strides, ("StridedSliceOptions", {}))
    strides = {1: ints(0, 4, 0), 2: ints(2, 0, 4), 3: ints(1, -1, 1)}
    yield from _moved("STRIDED_SLICE", "backwards", (2, 5, 4), (2, 4, 4), strides, ("StridedSliceOptions", {}))
    strides = {1: ints(0, 1, 0), 2: ints(2, 2, 4), 3: ints(1, 1, 1)}
    yield from _moved("STRIDED_SLICE", "shrink", (2, 5, 4), (2, 4), strides, ("StridedSliceOptions", {"shrinkAxisMask": 2}))
    yield from _moved("GATHER", "axis-1", (2, 5, 4), (2, 3, 4), {1: ints(4, 0, 2)}, ("GatherOptions", {"axis": 1}))
    yield Case(
        "table",
        OneOp("GATHER", {1: ints([0, 3], [4, 2], [1, 1], [4, 4])}, [(2, 6)], {0: weight(5, 6)}, ("GatherOptions", {"axis": 0})),
        **EXACT,
    )
    yield from _moved("GATHER_ND", "rows", (4, 5), (2, 5), {1: ints([3], [1])})
    yield from _moved("SPLIT", "two", (2, 6, 4), (2, 3, 4), {0: np.array(1, np.int32)}, ("SplitOptions", {"numSplits": 2}), data=1, outputs=2)
    sizes = OneOp(
        "SPLIT_V", {0: normal(2, 6, 4)}, [(2, 4, 4), (2, 2, 4)], {1: ints(4, 2), 2: np.array(1, np.int32)}, ("SplitVOptions", {"numSplits": 2})
    )
    yield Case("uneven", sizes, **EXACT)
    yield from _moved("SQUEEZE", "one", (1, 3, 1, 4), (1, 3, 4), {}, ("SqueezeOptions", {"squeezeDims": ints(2)}))
    yield from _moved("EXPAND_DIMS", "one", (3, 4), (3, 1, 4), {1: np.array(1, np.int32)}, ("ExpandDimsOptions", {}))
    yield from _moved("UNPACK", "axis-1", (3, 2, 4), (3, 4), {}, ("UnpackOptions", {"num": 2, "axis": 1}), outputs=2)
    yield from _moved("DEPTH_TO_SPACE", "two", (1, 3, 4, 8), (1, 6, 8, 2), {}, ("DepthToSpaceOptions", {"blockSize": 2}))
    yield from _moved("SPACE_TO_DEPTH", "two", (1, 6, 8, 2), (1, 3, 4, 8), {}, ("SpaceToDepthOptions", {"blockSize": 2}))
    yield from _moved("BATCH_TO_SPACE_ND", "two", (4, 3, 4, 2), (1, 6, 8, 2), {1: ints(2, 2), 2: ints([0, 0], [0, 0])})
    yield from _moved("SPACE_TO_BATCH_ND", "pad", (1, 5, 8, 2), (4, 3, 4, 2), {1: ints(2, 2), 2: ints([0, 1], [0, 0])})
    yield from _moved("TILE", "two", (2, 3), (4, 9), {1: ints(2, 3)})
    yield from _moved("REVERSE_V2", "axis-1", (2, 5, 3), (2, 5, 3), {1: ints(1)})
    lengths = {1: ints(2, 3, 4)}
    yield from _moved("REVERSE_SEQUENCE", "lengths", (3, 5), (3, 5), lengths, ("ReverseSequenceOptions", {"seqDim": 1}))
    yield Case("rows", OneOp("BROADCAST_TO", {0: normal(1, 3)}, [(4, 3)], {1: ints(4, 3)}, version=2), **EXACT)
    yield Case("embedding", OneOp("EMBEDDING_LOOKUP", {0: ints([0, 3], [4, 2], [1, 1], [4, 4])}, [(2, 6)], {1: weight(5, 6)}), **EXACT)


def _selections() -> Iterator[Case]:
    for name, make in DATA.items():
        yield Case(
            name,
            OneOp("PACK", {0: make(2, 5), 1: normal(2, 5)}, [(2, 2, 5)], options=("PackOptions", {"valuesCount": 2, "axis": 1})),
            steps=ONE_ROUNDING,
        )
        padv2 = OneOp("PADV2", {0: make(1, 3, 4, 2)}, [(1, 5, 4, 2)], {1: ints([0, 0], [1, 1], [0, 0], [0, 0]), 2: np.array(-1.5, np.float32)})
        yield Case(name, padv2, steps=ONE_ROUNDING)
        mask = rng(name).random((SAMPLES, 4, 5)) < 0.5
        yield Case(name, OneOp("SELECT", {0: mask, 1: make(4, 5), 2: normal(4, 5)}, [(4, 5)]), steps=ONE_ROUNDING)
        yield Case(name, OneOp("SELECT_V2", {0: mask, 1: make(4, 5), 2: normal(4, 5)}, [(4, 5)]), steps=ONE_ROUNDING)
    mask = rng("mask").random((SAMPLES, 4, 1)) < 0.5
    yield Case("broadcast", OneOp("SELECT_V2", {0: mask, 1: normal(4, 5), 2: normal(1, 5)}, [(4, 5)]))
    yield Case("constant", OneOp("SELECT_V2", {0: mask, 1: normal(4, 5)}, [(4, 5)], {2: np.array([-2.0], np.float32)}))
    for op in ("ARG_MAX", "ARG_MIN"):
        options = (op.title().replace("_", "") + "Options", {"outputType": 2})
        for name, make in DATA.items():
            yield Case(name, OneOp(op, {0: make(3, 9)}, [(3,)], {1: np.array(1, np.int32)}, options, ["int32"]), **EXACT)


def _single() -> Iterator[Case]:
    """Axes of size 1."""
    yield from _moved("RESHAPE", "one", (1, 1, 4), (4, 1), {1: ints(4, 1)}, ("ReshapeOptions", {}))
    strides = {1: ints(0, 2, 0), 2: ints(1, 3, 4), 3: ints(1, 1, 1)}
    yield from _moved("STRIDED_SLICE", "one", (1, 5, 4), (1, 1, 4), strides, ("StridedSliceOptions", {}))
    yield from _moved("GATHER", "one", (2, 1, 4), (2, 1, 4), {1: ints(0)}, ("GatherOptions", {"axis": 1}))
    yield from _moved("SPLIT", "one", (1, 2, 4), (1, 1, 4), {0: np.array(1, np.int32)}, ("SplitOptions", {"numSplits": 2}), data=1, outputs=2)
    sizes: Options = ("SplitVOptions", {"numSplits": 2})
    model = OneOp("SPLIT_V", {0: normal(1, 6)}, [(1, 5), (1, 1)], {1: ints(5, 1), 2: np.array(1, np.int32)}, sizes)
    yield Case("one", model, **EXACT)
    yield from _moved("UNPACK", "one", (3, 1, 4), (3, 4), {}, ("UnpackOptions", {"num": 1, "axis": 1}))
    yield from _moved("TILE", "one", (1, 3), (4, 3), {1: ints(4, 1)})
    yield from _moved("REVERSE_SEQUENCE", "one", (1, 5), (1, 5), {1: ints(4)}, ("ReverseSequenceOptions", {"seqDim": 1}))
    yield Case("one", OneOp("EMBEDDING_LOOKUP", {0: ints([0], [0], [0], [0])}, [(1, 6)], {1: weight(1, 6)}), **EXACT)
    yield Case("one", OneOp("PACK", {0: normal(1, 5)}, [(1, 1, 5)], options=("PackOptions", {"valuesCount": 1, "axis": 1})), **EXACT)
    yield Case("one", OneOp("SELECT", {0: normal(1, 5) > 0, 1: normal(1, 5), 2: normal(1, 5, key=1)}, [(1, 5)]), steps=ONE_ROUNDING)
    indexed: Options = ("TopKV2Options", {})
    best = OneOp("TOPK_V2", {0: normal(1, 9)}, [(1, 1), (1, 1)], {1: np.array(1, np.int32)}, indexed, ["float32", "int32"])
    yield Case("one", best, **EXACT)
    for op in ("ARG_MAX", "ARG_MIN"):
        options: Options = (op.title().replace("_", "") + "Options", {"outputType": 2})
        yield Case("one", OneOp(op, {0: normal(1, 9)}, [(1,)], {1: np.array(1, np.int32)}, options, ["int32"]), **EXACT)


def _tables() -> Iterator[Case]:
    """Constants that are read by index: weights in precisions with float activations."""
    rows = ints([0, 3], [4, 2], [1, 1], [4, 4])
    for name, make in DATA.items():
        table = OneOp("GATHER", {1: rows}, [(2, 6)], {0: make(5, 6)[0]}, ("GatherOptions", {"axis": 0}))
        yield Case(f"table-{name}", table, **refusing(EXACT, TOO_LARGE if name == "huge" else {}))
    yield Case("table-one", OneOp("GATHER", {1: ints([0], [0], [0], [0])}, [(1, 6)], {0: weight(1, 6)}, ("GatherOptions", {"axis": 0})), **EXACT)


def _in_every_kind(cases: Iterable[Case]) -> Iterator[Case]:
    """The cases, and the first of each operator with all kinds of data in place of its own."""
    seen = set()
    for case in cases:
        yield case
        if case.model.op in seen:
            continue
        seen.add(case.model.op)
        for kind, make in DATA.items():
            feeds = {at: make(*value.shape[1:]) if value.dtype == np.float32 else value for at, value in case.model.feeds.items()}
            constants = {at: make(*value.shape)[0] if value.dtype == np.float32 else value for at, value in case.model.constants.items()}
            table = any(value.dtype == np.float32 for value in constants.values())
            refused = TOO_LARGE if table and kind == "huge" else {}
            yield replace(case, id=f"{case.id}-{kind}", model=replace(case.model, feeds=feeds, constants=constants), refused=refused)


def movement_cases() -> Iterator[Case]:
    """All of this file."""
    yield from _concatenation()
    yield from _in_every_kind((*_movement(), *_others()))
    yield from _single()
    yield from _tables()
    yield from _selections()


def _others() -> Iterator[Case]:
    values = OneOp("TOPK_V2", {0: normal(3, 9)}, [(3, 4), (3, 4)], {1: np.array(4, np.int32)}, ("TopKV2Options", {}), ["float32", "int32"])
    yield Case("four", values, **EXACT)
    yield Case("zeros", OneOp("FILL", {0: np.array([[2, 3]] * SAMPLES, np.int32)}, [(2, 3)], {1: np.array(0, np.float32)}), **EXACT)
    yield Case("minus-3", OneOp("FILL", {0: np.array([[2, 3]] * SAMPLES, np.int32)}, [(2, 3)], {1: np.array(-3, np.float32)}), **EXACT)
    hot = {1: np.array(5, np.int32), 2: np.array(1, np.float32), 3: np.array(0, np.float32)}
    yield Case("five", OneOp("ONE_HOT", {0: ints([0, 3], [4, 2], [1, 1], [4, 4])}, [(2, 5)], hot, ("OneHotOptions", {"axis": -1})), **EXACT)
    update = {0: normal(1, 8, 4), 1: normal(1, 2, 4)}
    yield Case("rows", OneOp("DYNAMIC_UPDATE_SLICE", update, [(1, 8, 4)], {2: ints(0, 3, 0)}), **EXACT)
