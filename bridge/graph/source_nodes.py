"""Names and stamps the nodes of the user's file, and lists them."""

import ast
import itertools
from collections.abc import Iterator, Sequence

import onnx
import onnx_ir as ir

from bridge.graph import provenance
from bridge.large_weights import FOLDER, folder_of
from bridge.types import SourceNode

_TORCH_SCOPES = "pkg.torch.onnx.name_scopes"
_TORCH_CLASSES = "pkg.torch.onnx.class_hierarchy"
_TORCH_NAMESPACE = "namespace"  # both at once, as the first dynamo exporters (torch 2.4) wrote it alone


def read_only_copy(proto: onnx.ModelProto) -> ir.Model:
    """The model in onnx_ir; weights share memory with `proto`, but renaming one here does not rename it there."""
    model, folder = ir.from_proto(proto), folder_of(proto)
    if folder is not None:
        ir.external_data.set_base_dir(model.graph, folder.path)
        del model.metadata_props[FOLDER]
    # Before IR version 4 every initializer had to be listed as an input too; as a constant it can be folded into its users.
    actual = [value for value in model.graph.inputs if not value.is_initializer()]
    model.graph.inputs.clear()
    model.graph.inputs.extend(actual)
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.const_value = _detached(value.const_value)
    for node in model.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                node.attributes[name] = ir.AttrTensor(name, _detached(attribute.as_tensor()))
    return model


def _detached(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """onnx_ir writes a new name of a value through to the TensorProto that it wraps."""
    if tensor.dtype == ir.DataType.STRING:
        return ir.StringTensor(tensor.numpy(), name=tensor.name)
    return ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=tensor.name)


def name_nodes(graph: ir.Graph, *, prefix: str = "") -> None:
    """Gives every node a unique name and the stamp of itself: nameless ones become `<op_type>_<position>`, repeated names get the position too."""
    taken: set[str] = set()
    for position, node in enumerate(graph):
        own = node.name or f"{node.op_type}_{position}"
        wanted = own if own.startswith(prefix) else prefix + own  # a model whose functions were inlined comes with its names
        name = wanted
        while name in taken:
            name = f"{wanted}_{position}" if name == wanted else f"{name}_"
        taken.add(name)
        node.name = name
        provenance.stamp(node, name)
        for attribute in node.attributes.values():
            if attribute.is_ref():
                continue
            graphs = [attribute.as_graph()] if attribute.type == ir.AttributeType.GRAPH else []
            graphs = list(attribute.as_graphs()) if attribute.type == ir.AttributeType.GRAPHS else graphs
            for subgraph in graphs:
                name_nodes(subgraph, prefix=f"{name}/")


def share_modules(graph: ir.Graph) -> None:
    """Gives nodes without a module the innermost one that all their neighbours lie in, where the file records modules.

    The optimizer of torch's dynamo exporter makes nodes of its own (Split for SplitToSequence) and records nothing for them.
    """
    recorded = {node: levels for node in graph if (levels := _levels(node))}
    for node in graph if recorded else ():
        neighbours = [value.producer() for value in node.inputs if value is not None] + [user for value in node.outputs for user in value.consumers()]
        around = [recorded[one] for one in neighbours if one in recorded]
        if node not in recorded and around:
            shared = [levels[0] for levels in itertools.takewhile(lambda one: len(set(one)) == 1, zip(*around, strict=False))]
            node.metadata_props[_TORCH_SCOPES] = repr([*(path for path, _ in shared), node.name])
            node.metadata_props[_TORCH_CLASSES] = repr([*(name for _, name in shared), node.op_type])


def _levels(node: ir.Node) -> list[tuple[str, str]]:
    """(path, class) of every module around the node, as far as both are recorded."""
    return list(zip(_recorded(node, _TORCH_SCOPES)[:-1], _recorded(node, _TORCH_CLASSES)[:-1], strict=False))


def list_nodes(model: ir.Model) -> tuple[SourceNode, ...]:
    """Every node of the file in its order, as if it were kept; a node inside a branch or loop body too."""
    return tuple(
        SourceNode(
            name=provenance.name(node),
            op_type=node.op_type,
            domain=provenance.domain(node),
            scope=scope(node),
            outputs=tuple(output.name or "" for output in node.outputs),
            status="kept",
            into=provenance.name(node),
        )
        for node in model.graph.all_nodes()
    )


def scope(node: ir.Node) -> str:
    """Module path such as `encoder/layer.3/attention`, empty when the file does not tell.

    torch's dynamo exporter writes the path of every enclosing module, `['', 'encoder', 'encoder.layer.3', <node>]`; other exporters
    put a path into the node's name, `/encoder/layer.3/MatMul`.
    """
    scopes = _recorded(node, _TORCH_SCOPES) or [name for name, _ in _namespace(node)]
    if scopes:
        return "/".join(_relative_parts(scopes[:-1]))
    return provenance.name(node).strip("/").rpartition("/")[0]


def module_classes(node: ir.Node) -> tuple[str, ...]:
    """Classes of the modules around the node, the outermost first; empty when the file does not tell.

    torch's dynamo exporter writes them as it writes the scopes, `['bert.Model', 'torch.nn.modules.linear.Linear', <operator>]`.
    """
    classes = _recorded(node, _TORCH_CLASSES) or [name for _, name in _namespace(node)]
    return tuple(name for name in classes[:-1] if name)


def _recorded(node: ir.Node, key: str) -> list[str]:
    """A list that torch's dynamo exporter wrote as Python text; empty where there is none, or something else."""
    if key not in node.metadata_props:
        return []
    try:
        found = ast.literal_eval(node.metadata_props[key])
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return []
    return [str(one) for one in found] if isinstance(found, list) else []


def _namespace(node: ir.Node) -> list[tuple[str, str]]:
    """(path, class) of every enclosing module and of the node: `: bert.Model/encoder: bert.Encoder/linear: aten.linear.default`."""
    recorded = node.metadata_props.get(_TORCH_NAMESPACE, "")
    if ": " not in recorded:
        return []
    parts = (part.partition(": ") for part in recorded.split("/"))
    return [(path, name) for path, _, name in parts]


def _relative_parts(scopes: Sequence[str]) -> Iterator[str]:
    parent = ""
    for path in scopes:
        if path.startswith(f"{parent}.") and parent:
            yield path[len(parent) + 1 :]
        elif path and path != parent:
            yield path
        parent = path
