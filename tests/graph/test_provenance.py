"""What a node is, and the regions it lies in."""

import onnx_ir as ir

from bridge.graph import provenance


def _node(name: str) -> ir.Node:
    made = ir.node("Relu", [ir.Value(name=f"{name}_in")])
    provenance.stamp(made, name)
    return made


def test_a_node_is_one_operation_and_lies_in_many_places() -> None:
    node = _node("a")
    for recognised in ("softmax", "masked_softmax"):
        provenance.mark(node, recognised)
    for region in ("attention", "last_layer", "attention"):
        provenance.place(node, region)
    assert provenance.pattern(node) == "masked_softmax"
    assert provenance.places(node) == ("attention", "last_layer")


def test_a_replacement_lies_where_the_old_nodes_lay_and_is_what_the_main_one_was() -> None:
    old, main, new = _node("a"), _node("b"), _node("c")
    provenance.place(old, "attention")
    provenance.place(main, "first_layer")
    provenance.mark(old, "softmax")
    provenance.mark(main, "gelu")
    provenance.inherit([new], [old, main], main=main)
    assert (provenance.pattern(new), provenance.places(new)) == ("gelu", ("attention", "first_layer"))


def test_a_replacement_that_was_recognised_is_no_longer_what_the_main_one_was() -> None:
    old, new = _node("a"), _node("b")
    provenance.mark(old, "softmax")
    provenance.inherit([new], [old], main=old, recognised="gelu")
    assert provenance.pattern(new) == "gelu"
