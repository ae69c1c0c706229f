"""Which of a traced module's operators the rule files leave integer."""

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bridge import rules as rules_stage
from bridge.qat.scheme import PRECISION
from bridge.sources import open_model

SCOPES = "pkg.torch.onnx.name_scopes"  # the exporter's: module paths from the outermost one, then the operator in torch's graph
PART = "part_of"  # in the meta of a node that stands for a part of one that the exporter saw
FOLDED = "folded"  # likewise, of a convolution: the BatchNorm that is folded into it


@dataclass(frozen=True, slots=True, eq=False)
class Decisions:
    """By operators of torch's graph, and by the module that they are in where the exporter gave them other names.

    Attributes:
        operators: name in torch's graph -> type of ONNX node that it became -> whether all of these are integer.
        modules: module path -> whether all nodes in it are.
    """

    operators: Mapping[str, Mapping[str, bool]]
    modules: Mapping[str, bool]

    def is_integer(self, node: Any) -> bool:
        """Whether no rule leaves float what a node of the traced module computes."""
        name, op_type = node.meta.get(PART, (node.name, None))
        folded = node.meta.get(FOLDED)  # the exporter folds a BatchNorm too, and names the result after it
        found = self.operators.get(name) or (folded and self.operators.get(folded.name))
        if found:
            return all(found.values()) if op_type is None else found.get(op_type, all(found.values()))
        return self.modules.get(module_path(folded or node), False)


def module_path(node: Any) -> str:
    """Of the innermost module that a node is in; empty for the model itself."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def decide(module: Any, example_inputs: tuple[Any, ...], rules: Sequence[str | Path]) -> Decisions:
    """Applies the rule files to the module as `bridge.convert` does it."""
    opened = open_model(module, input_shapes={}, example_inputs=example_inputs)
    decisions = rules_stage.apply(rules_stage.load(rules), opened.graph.nodes, default_precision=PRECISION).decisions
    integer = {origin: decisions[node.name].precision == PRECISION for node in opened.graph.nodes for origin in (node.name, *node.origins)}
    operators: dict[str, dict[str, bool]] = {}
    modules: dict[str, bool] = {}
    for node in opened.model.proto.graph.node:
        scopes = next((ast.literal_eval(entry.value) for entry in node.metadata_props if entry.key == SCOPES), None)
        if not scopes or node.name not in integer:
            continue
        found = operators.setdefault(scopes[-1], {})
        found[node.op_type] = found.get(node.op_type, True) and integer[node.name]
        path = scopes[-2] if len(scopes) > 1 else ""
        modules[path] = modules.get(path, True) and integer[node.name]
    return Decisions(operators, modules)
