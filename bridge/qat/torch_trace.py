"""A module as a graph of torch's operators that can be trained: dropout and BatchNorm alive, attention in its parts."""

import math
import warnings
from typing import Any

import torch
from torch.fx.experimental.symbolic_shapes import is_concrete_int

from bridge.qat.torch_batch_norm import fold_all
from bridge.qat.torch_decisions import PART
from bridge.qat.torch_operators import operator_name

ATTENTION = "scaled_dot_product_attention"


def trace(module: Any, example_inputs: tuple[Any, ...]) -> Any:
    """The module's operators; it takes other batch sizes where the module does, and warns where it takes that of the example alone.

    Args:
        module: in eval mode, not changed; parameters are shared and keep their names.
        example_inputs: positional.
    """
    exported = _exported(module, example_inputs)
    traced = torch.fx.GraphModule(exported, exported.graph)
    _warn_of_fixed_sizes(traced)
    for node in list(traced.graph.nodes):
        name = operator_name(node)
        if node.op == "call_module" and str(node.target).endswith("_guards_fn"):
            traced.graph.erase_node(node)  # would refuse other sizes
        elif name == "dropout":
            _revive_dropout(traced, node)
        elif name == ATTENTION and _is_plain(node):
            _take_apart(traced.graph, node)
    fold_all(traced)
    return traced


def _exported(module: Any, example_inputs: tuple[Any, ...]) -> Any:
    """With any size of the first axis, if the module has no other opinion: a size of 1 would be taken for the only one."""
    tensors = [value for value in example_inputs if isinstance(value, torch.Tensor) and value.dim() > 0]
    if tensors and len(tensors) == len(example_inputs) and len({value.shape[0] for value in tensors}) == 1:
        several = tuple(torch.cat([value, value]) for value in tensors) if tensors[0].shape[0] == 1 else example_inputs
        shapes = tuple({0: torch.export.Dim.AUTO} for _ in several)
        try:
            return torch.export.export(module, several, dynamic_shapes=shapes, strict=False).module()
        except Exception:  # noqa: BLE001  # whatever the module has against other sizes; its own ones are tried next
            pass
    return torch.export.export(module, example_inputs, strict=False).module()


def _warn_of_fixed_sizes(traced: Any) -> None:
    """The guards that would refuse other sizes are about to go."""
    entries = [node for node in traced.graph.nodes if node.op == "placeholder" and getattr(node.meta.get("val"), "shape", ())]
    fixed = [f"{node.name} {list(node.meta['val'].shape)}" for node in entries if is_concrete_int(node.meta["val"].shape[0])]
    if fixed:
        warnings.warn(
            f"The module was traced for the batch size of its example inputs alone: {', '.join(fixed)}. Train it with batches of that size.",
            UserWarning,
            stacklevel=2,
        )


def _revive_dropout(module: Any, node: Any) -> None:
    module.add_submodule(f"qat.dropouts.{node.name}", torch.nn.Dropout(node.args[1]))
    with module.graph.inserting_before(node):
        dropout = module.graph.call_module(f"qat.dropouts.{node.name}", (node.args[0],))
    dropout.meta.update(node.meta)
    dropout.meta["moves"] = True
    node.replace_all_uses_with(dropout)
    module.graph.erase_node(node)


def _is_plain(node: Any) -> bool:
    """Without a causal or boolean mask, dropout or shared heads: these stay float."""
    mask = node.args[3] if len(node.args) > 3 else None
    if mask is not None and not mask.meta["val"].is_floating_point():
        return False
    return not any(node.args[4:6]) and not node.kwargs.get("enable_gqa", False) and not node.kwargs.get("is_causal", False)


def _take_apart(graph: Any, node: Any) -> None:
    """softmax(q k^T * scale + mask) v, which is how the exporter writes it too."""
    aten = torch.ops.aten
    query, key, value, *rest = node.args
    mask = rest[0] if rest else node.kwargs.get("attn_mask")
    scale = node.kwargs.get("scale") or 1 / math.sqrt(query.meta["val"].shape[-1])

    def add(part: Any, args: tuple[Any, ...], op_type: str) -> Any:
        made = graph.call_function(part, args)
        made.meta["nn_module_stack"] = node.meta.get("nn_module_stack", {})
        made.meta[PART] = (node.name, op_type)
        return made

    with graph.inserting_before(node):
        turned = add(aten.transpose.int, (key, -2, -1), "Transpose")
        scores = add(aten.mul.Tensor, (add(aten.matmul.default, (query, turned), "MatMul"), scale), "Mul")
        scores = scores if mask is None else add(aten.add.Tensor, (scores, mask), "Add")
        weights = add(aten.softmax.int, (scores, -1), "Softmax")
        result = add(aten.matmul.default, (weights, value), "MatMul")
    node.replace_all_uses_with(result)
    graph.erase_node(node)
