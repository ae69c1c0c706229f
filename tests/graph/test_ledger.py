"""Names of the user's tensors and nodes through passes that do not care about them."""

import numpy as np
import onnx_ir as ir
import pytest

from bridge.errors import InputError, UnsupportedModelError
from bridge.graph import provenance, source_nodes
from bridge.graph.ledger import Ledger, Step


def build(text: str) -> tuple[ir.Model, Ledger]:
    model = ir.from_onnx_text(f'<ir_version: 8, opset_import: ["" : 20]> g {text}')
    source_nodes.name_nodes(model.graph)
    return model, Ledger(model, source_nodes.list_nodes(model))


def node(model: ir.Model, op_type: str) -> ir.Node:
    (found,) = (node for node in model.graph if node.op_type == op_type)
    return found


CHAIN = "(float[2] x) => (float[2] y) { [a] t = Relu(x) [b] u = Neg(t) [c] y = Abs(u) }"


def test_a_node_that_writes_the_old_tensor_stands_for_the_old_node() -> None:
    model, ledger = build(CHAIN)

    def swap(model: ir.Model) -> None:
        old = node(model, "Neg")
        new = [ir.node("Identity", old.inputs)]
        new.append(ir.node("Neg", new[0].outputs))
        ir.convenience.replace_nodes_and_values(model.graph, old, [old], new, old.outputs, new[1].outputs)

    ledger.run(Step("swap", swap))
    assert provenance.origins(node(model, "Neg")) == ("b",)
    assert provenance.origins(node(model, "Identity")) == ("b",)  # a helper belongs to what it feeds
    assert [source.status for source in ledger.sources()] == ["kept", "kept", "kept"]


def test_a_node_rebuilt_without_metadata_is_known_by_its_name() -> None:
    model, ledger = build(CHAIN)
    node(model, "Relu").metadata_props["pkg.torch.onnx.name_scopes"] = "['', 'block', 'relu']"

    def forget(model: ir.Model) -> None:
        for each in model.graph:
            each.metadata_props.clear()

    ledger.run(Step("forget", forget))
    assert [provenance.name(each) for each in model.graph] == ["a", "b", "c"]
    assert source_nodes.scope(node(model, "Relu")) == "block"


def test_what_vanishes_gets_the_reason_of_its_step() -> None:
    _, ledger = build(CHAIN)

    def drop(model: ir.Model) -> None:
        old = node(model, "Neg")
        ir.convenience.replace_all_uses_with(old.outputs, [value for value in old.inputs if value is not None])
        model.graph.remove(old, safe=True)

    ledger.run(Step("drop", drop, gone="folded", reason="it was in the way"))
    assert [(source.name, source.status, source.into, source.reason) for source in ledger.sources()] == [
        ("a", "kept", "a", ""),
        ("b", "folded", None, "it was in the way"),
        ("c", "kept", "c", ""),
    ]


def test_a_fused_node_names_the_one_it_is_part_of() -> None:
    _, ledger = build(CHAIN)

    def fuse(model: ir.Model) -> None:
        first, second = node(model, "Relu"), node(model, "Neg")
        new = ir.node("Softplus", first.inputs)
        provenance.inherit([new], [first, second], main=second)
        ir.convenience.replace_nodes_and_values(model.graph, second, [first, second], [new], second.outputs, new.outputs)

    ledger.run(Step("fuse", fuse))
    assert [(source.status, source.into, source.reason) for source in ledger.sources()] == [
        ("fused", "b", "part of b"),
        ("kept", "b", ""),
        ("kept", "c", ""),
    ]


def test_a_new_value_cannot_take_the_name_of_a_tensor_that_is_gone() -> None:
    model, ledger = build(CHAIN)

    def drop(model: ir.Model) -> None:
        old = node(model, "Relu")
        ir.convenience.replace_all_uses_with(old.outputs, [value for value in old.inputs if value is not None])
        model.graph.remove(old, safe=True)

    def reuse(model: ir.Model) -> None:
        old = node(model, "Neg")
        new = ir.node("Exp", old.inputs)
        new.outputs[0].name = "t"  # free again, and not what the user called t
        model.graph.insert_before(old, new)
        old.replace_input_with(0, new.outputs[0])

    ledger.run(Step("drop", drop))
    ledger.run(Step("reuse", reuse))
    names = [output.name for each in model.graph for output in each.outputs]
    assert "t" not in names
    assert names[1:] == ["u", "y"]


def test_a_new_value_cannot_share_a_name_with_one_that_is_there() -> None:
    model, ledger = build(CHAIN)

    def clash(model: ir.Model) -> None:
        constant = ir.Value(name="u", const_value=ir.Tensor(np.ones(2, np.float32), name="u"))
        model.graph.register_initializer(constant)
        model.graph.append(ir.node("Add", [node(model, "Neg").outputs[0], constant]))

    ledger.run(Step("clash", clash))
    assert node(model, "Neg").outputs[0].name == "u"
    assert [name for name in model.graph.initializers if name != "u"] == list(model.graph.initializers)


@pytest.mark.provokes("graph-pass")
def test_a_pass_that_fails_names_itself_and_the_cause() -> None:
    _, ledger = build(CHAIN)

    def fail(model: ir.Model) -> None:
        try:
            raise KeyError("axis")
        except KeyError as error:
            raise RuntimeError("wrapped") from error

    with pytest.raises(UnsupportedModelError, match="Graph pass 'odd' cannot handle this model: KeyError: 'axis'"):
        ledger.run(Step("odd", fail))


def test_an_error_of_ours_passes_through() -> None:
    _, ledger = build(CHAIN)

    def refuse(model: ir.Model) -> None:
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        ledger.run(Step("refuse", refuse))


def test_a_pass_that_found_nothing_looks_again_only_after_a_change() -> None:
    _, ledger = build(CHAIN)
    looked: list[str] = []

    def look(model: ir.Model) -> None:
        looked.append(node(model, "Neg").name or "")

    def rename(model: ir.Model) -> None:
        node(model, "Neg").name = "other"

    for step in (Step("look", look), Step("replace", lambda _: None, in_place=False), Step("look again", look)):
        ledger.run(step)
    assert looked == ["b"]
    for step in (Step("edit", lambda _: None), Step("look", look), Step("rename", rename, in_place=False), Step("look again", look)):
        ledger.run(step)
    assert looked == ["b", "b", "other"]
