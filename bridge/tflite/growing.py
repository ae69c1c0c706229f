"""Models that have more tensors and operators than a file, to be run: what the file has already is used as its bytes are, without packing it again."""

import copy
import mmap
from collections.abc import Mapping

from msgspec import Struct

from bridge.tflite.names import ModelT
from bridge.tflite.reading import copied
from bridge.tflite.unpack import Tables, shallow_copy

MODEL_FIELDS, CODES, SUBGRAPHS, BUFFERS = 5, 1, 2, 4
GRAPH_FIELDS, TENSORS, OPERATORS = 4, 0, 3
PACKED = 1 << 19  # bytes for each operator of a file that are copied in the time in which the operator is packed


class Base(Struct, frozen=True, eq=False):
    """The file that a model has grown out of.

    Attributes:
        content: its bytes.
        places: `id` of an object of the model -> where its table is in them. The objects are those of the model that was read, which holds them.
        model: that one.
    """

    content: bytes | mmap.mmap
    places: Mapping[int, int]
    model: ModelT


def grown(model: ModelT) -> ModelT:
    """A model of its own, to whose lists more can be added or from which some be left out; what they hold already stays as it is.

    Args:
        model: of `read_once`, or grown out of one; any other one is packed anew, and so is one of large constants, which many files share.
    """
    base: Base | None = vars(model).get("base")
    if base is None and (not hasattr(model, "content") or model.apart or len(model.content) >= PACKED * len(model.subgraphs[0].operators)):
        return copied(model)
    made = shallow_copy(model)
    vars(made).pop("content", None)
    made.operatorCodes, made.buffers = list(model.operatorCodes), list(model.buffers)
    made.metadata, made.signatureDefs = copy.deepcopy(model.metadata), copy.deepcopy(model.signatureDefs)
    made.subgraphs = [shallow_copy(graph) for graph in model.subgraphs]
    for graph in made.subgraphs:
        graph.tensors, graph.operators = list(graph.tensors), list(graph.operators)
    made.base = base or Base(model.content, _places(model), model)
    return made


def has_grown(model: ModelT) -> bool:
    """Whether `grown` made it out of a file, whose objects are in its lists; else all of them are its own."""
    return "base" in vars(model)


def _places(model: ModelT) -> Mapping[int, int]:
    """Of the operator codes, the buffers, and what the main graph has."""
    tables, graph = Tables(model.content), model.subgraphs[0]
    fields = tables.fields(tables.target(0), MODEL_FIELDS)
    main = tables.fields(tables.each(fields[SUBGRAPHS])[0], GRAPH_FIELDS)
    lists = (
        (model.operatorCodes, fields[CODES]), (model.buffers, fields[BUFFERS]), (graph.tensors, main[TENSORS]), (graph.operators, main[OPERATORS]),
    )  # fmt: skip
    return {id(one): place for objects, vector in lists if vector for one, place in zip(objects, tables.each(vector), strict=True)}
