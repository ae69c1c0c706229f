"""The files of the corpus, and what recognition finds in one: `<pattern>/<spelling>.<exporter>.onnx`, where the nodes of the module `target` are the pattern.

Keras numbers its layers (`target_1`); in models of our own text the tensors of the pattern are called `t_...`.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePath

import numpy as np
import onnx
import onnx_ir as ir
from onnx_text import session

from bridge.frontends import onnx_file
from bridge.graph import normalize
from bridge.types import Graph, NodeFacts, SourceModel

CORPUS = Path(__file__).parent / "patterns" / "corpus"
TARGET = "target"
MOVES = frozenset(
    {"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Transpose", "Cast", "Expand", "Split", "Slice", "Gather", "Concat", "Tile", "Pad"}
)
_NAMELESS = re.compile(r"\w+__\d+")  # nodes that tf2onnx makes of an einsum have no layer
TOLERANCE = 1e-5
WEIGHTED = frozenset({"Conv", "Gemm", "MatMul"})
ONE_OPERATOR = {"residual_add": {"Add"}, "cnn_residual_add": {"Add"}, "positional_embedding": {"Add"}}


@dataclass(frozen=True)
class Finding:
    """What became of the nodes of one file.

    Attributes:
        missed: nodes of `target` that compute and do not carry the pattern.
        elsewhere: nodes outside that carry it.
        error: largest difference of an output before and after normalising, relative to its largest value.
    """

    found: tuple[str, ...]
    missed: tuple[str, ...]
    elsewhere: tuple[str, ...]
    error: float

    @property
    def recognised(self) -> bool:
        """The pattern, the whole pattern, nothing but the pattern, and the same numbers."""
        return bool(self.found) and not self.missed and not self.elsewhere and self.error <= TOLERANCE


def files() -> list[Path]:
    return sorted(CORPUS.glob("*/*.onnx"))


def pattern_of(path: PurePath) -> str:
    return path.parent.name


def spelling_of(path: PurePath) -> str:
    return f"{path.parent.name}/{path.name.split('.')[0]}"


def exporter_of(path: PurePath) -> str:
    return path.name.split(".")[1]


@cache
def examine_file(path: Path) -> Finding:
    return examine(onnx_file.load(path), pattern_of(path))


def marked_ops(path: Path) -> Counter[str]:
    """The operators that carry the pattern, with their number."""
    graph = normalize(onnx_file.load(path), input_shapes={})
    return Counter(node.op_type for node in graph.nodes if pattern_of(path) in node.patterns and node.op_type not in MOVES)


def examine(model: SourceModel, pattern: str) -> Finding:
    """Normalises the model and looks for the pattern.

    A file without module paths (torch writes opset 17 by converting opset 18, which loses them) has no target: everything found is `found`.
    """
    graph = normalize(model, input_shapes={})
    inside = {source.name for source in graph.source_nodes if _is_in_target(source.scope, source.name, source.outputs)}
    if not inside:
        inside = {name for node in graph.nodes if pattern in node.patterns for name in node.origins}
    facts = [node for node in graph.nodes if node.domain == "" and _computes(node, pattern)]
    own = [node for node in facts if node.name in inside or (pattern in node.patterns and inside.intersection(node.origins))]
    return Finding(
        found=tuple(node.name for node in own if pattern in node.patterns),
        missed=tuple(node.name for node in own if pattern not in node.patterns and node.op_type not in MOVES),
        elsewhere=tuple(node.name for node in graph.nodes if pattern in node.patterns and _is_outside(node, inside)),
        error=_error(model.proto, graph),
    )


def _is_outside(node: NodeFacts, inside: set[str]) -> bool:
    """Whether the node is of another module; the exporter gives no module for some nodes that only rearrange."""
    return not inside.intersection(node.origins) and node.op_type not in MOVES and not _NAMELESS.fullmatch(node.name)


def _is_in_target(scope: str, name: str, outputs: Sequence[str]) -> bool:
    parts = (*scope.split("/"), *name.split("/"))
    return any(part.startswith(TARGET) for part in parts) or any(output.startswith("t_") for output in outputs)


def _computes(node: NodeFacts, pattern: str) -> bool:
    """Whether the node is one that the pattern is about: for attention everything but the layers around it."""
    if not any(spec.dtype.startswith("float") for spec in node.outputs):
        return False
    if pattern in ONE_OPERATOR:
        return node.op_type in ONE_OPERATOR[pattern]
    return pattern != "attention" or not (node.op_type in WEIGHTED and node.constant_inputs)


def _error(before: onnx.ModelProto, graph: Graph) -> float:
    feeds = dict(_feeds(before))
    after = ir.to_proto(graph.model)
    renamed = dict(zip([value.name for value in after.graph.input], [feeds[spec.name] for spec in graph.inputs], strict=True))
    pairs = zip(session(before, []).run(None, feeds), session(after, []).run(None, renamed), strict=True)
    return max(float(np.abs(was - now).max() / max(float(np.abs(was).max()), 1e-30)) for was, now in pairs)


def _feeds(model: onnx.ModelProto) -> Iterator[tuple[str, np.ndarray]]:
    generator = np.random.default_rng(7)
    constants = {tensor.name for tensor in model.graph.initializer}
    for value in model.graph.input:
        if value.name in constants:
            continue
        kind = value.type.tensor_type
        shape = [dimension.dim_value or 1 for dimension in kind.shape.dim]
        dtype = onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)
        if np.issubdtype(dtype, np.integer):
            yield value.name, generator.integers(0, 5, shape).astype(dtype)
        else:
            yield value.name, generator.normal(0.3, 1.5, shape).astype(dtype)
