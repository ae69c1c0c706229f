from bridge.convert.ownership import OpView, absorbed, owners
from bridge.types import NodeFacts, TensorSpec


def node(name: str, inputs: str, outputs: str) -> NodeFacts:
    def specs(names: str) -> tuple[TensorSpec, ...]:
        return tuple(TensorSpec(tensor, (1,), "float32") for tensor in names.split())

    return NodeFacts(name, "Op", "", (), "", (name,), specs(inputs), specs(outputs))


def test_inner_operators_belong_to_the_node_they_lead_to() -> None:
    ops = (OpView("MEAN", (0,), (1,)), OpView("SUB", (0, 1), (2,)), OpView("MUL", (2, 2), (3,)), OpView("CONV_2D", (3,), (4,)))
    assert owners(ops, {3: "norm", 4: "conv"}) == ("norm", "norm", "norm", "conv")


def test_the_nearest_mapped_tensor_decides() -> None:
    ops = (OpView("TRANSPOSE", (0,), (1,)), OpView("CONV_2D", (1,), (2,)), OpView("RELU", (2,), (3,)), OpView("ADD", (3, 1), (4,)))
    assert owners(ops, {3: "relu", 4: "add"})[0] == "add"


def test_an_operator_that_leads_nowhere_has_no_owner() -> None:
    assert owners((OpView("MEAN", (0,), (1,)),), {}) == ("",)


def test_a_node_without_an_operator_is_absorbed_by_the_nearest_behind_it() -> None:
    nodes = (node("conv", "x", "a"), node("norm", "a", "b"), node("relu", "b", "c"), node("conv2", "c", "d"))
    assert absorbed(nodes, frozenset({"relu", "conv2"})) == {"conv": ("relu",), "norm": ("relu",)}


def test_a_node_may_be_absorbed_by_several() -> None:
    nodes = (node("add", "x", "a"), node("left", "a", "b"), node("right", "a", "c"))
    assert absorbed(nodes, frozenset({"left", "right"})) == {"add": ("left", "right")}
