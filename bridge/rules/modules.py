"""Matchers that ask for a place in the code the model came from: torch module paths and classes, Keras layers."""

import re
from collections.abc import Iterator
from typing import ClassVar, Literal, override

from pydantic import Field

from bridge.module_paths import ITSELF, module_path, scope_fits
from bridge.name_patterns import glob_fits
from bridge.rules.class_operators import classes_of
from bridge.rules.context import Context
from bridge.rules.matcher import BaseMatcher, GlobMatcher, Name, Names, glob_suggestion, present
from bridge.rules.wording import listed
from bridge.types import NodeFacts

_CALLS = frozenset({"StatefulPartitionedCall", "PartitionedCall"})  # what TensorFlow's saving puts around and between the layers
_AGAIN = "_1"  # appended by Keras


class ScopeMatcher(GlobMatcher):
    """Nodes inside a module: the glob fits the path of the module they are computed in, or of a module around it."""

    quantity: ClassVar[str] = "module path"
    kind: Literal["scope"]
    glob: Name = Field(
        description="As in the training code, encoder.layer.3 or *.attention (* stays between two dots, ** crosses), or as in the file, encoder/layer.3; all that lies inside matches too."
    )

    @override
    def names(self, node: NodeFacts) -> tuple[str, ...]:
        if not node.scope:
            return ()
        return (node.scope if "/" in self.glob else module_path(node.scope),)

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return scope_fits(self.glob, node.scope)

    @override
    def suggestion(self, context: Context) -> str:
        separator = "/" if "/" in self.glob else "."
        paths = dict.fromkeys(name for node in context.nodes for name in self.names(node))
        return glob_suggestion(self.quantity, self.glob, (around for path in paths for around in _around(path, separator)), separator=separator)


class ModuleClassMatcher(BaseMatcher):
    """Nodes inside a module of a class.

    Files that torch's dynamo exporter wrote name the classes. In other files a node counts as inside a class of torch.nn where its operator or
    pattern is what such a module becomes; classes of the user's own cannot be told there.
    """

    kind: Literal["module_class"]
    classes: Names = Field(description="Names or globs, LayerNorm or Bert*Attention; with dots the whole path of the class, torch.nn.*.LayerNorm.")

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return any(_class_fits(wanted, name) for name in self._known(node, context) for wanted in self.classes)

    def _known(self, node: NodeFacts, context: Context) -> tuple[str, ...]:
        return node.module_classes if context.names_classes else classes_of(node)

    @override
    def describe(self) -> str:
        return f"is inside a module of class {listed(sorted(self.classes))}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        found = listed(_last_names(self._known(node, context)))
        if context.names_classes:
            return found or "no module class"
        return f"by its operator {found}" if found else "the file names no classes, and the operator belongs to none of torch.nn"

    @override
    def suggestion(self, context: Context) -> str:
        found = {name for node in context.nodes for name in _last_names(self._known(node, context))}
        if context.names_classes:
            return present("module class", self.classes, found)
        return (
            "the file names no classes (torch's dynamo exporter writes them, the TorchScript exporter does not); "
            f"told by their operators: {listed(sorted(found)) or 'none'}"
        )


class LayerMatcher(BaseMatcher):
    """Nodes of a Keras layer, by the names that tf2onnx gives to nodes, weights and results; a layer that was folded into another one counts there.

    Keras appends `_1` to all names when the model was called before it was exported; `dense` is `dense_1` then, unless there is a `dense` too.
    """

    kind: Literal["layer"]
    names: Names = Field(description="Names or globs, dense_1 or conv2d*; encoder/dense_1 for a layer of a model inside the model.")

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return any(_layer_fits(name, path) for path in layer_paths(node) for name in self._spelled(context))

    def _spelled(self, context: Context) -> frozenset[str]:
        """The names as the file has them."""
        if self not in context.answers:
            paths = {path for node in context.nodes for path in layer_paths(node)}
            context.answers[self] = frozenset(name if any(_layer_fits(name, path) for path in paths) else f"{name}{_AGAIN}" for name in self.names)
        return context.answers[self]

    @override
    def describe(self) -> str:
        return f"belongs to the Keras layer {listed(sorted(self.names))}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return listed(layer_paths(node), limit=6) or "no layer"

    @override
    def suggestion(self, context: Context) -> str:
        return present("layer", self.names, {part for node in context.nodes for path in layer_paths(node) for part in path.split("/")})


def _around(path: str, separator: str) -> Iterator[str]:
    """The path and those of the modules around it."""
    while path:
        yield path
        path = path.rpartition(separator)[0]


def layer_paths(node: NodeFacts) -> tuple[str, ...]:
    """Paths of layers in the names of the node, its weights and what it writes, `functional_1/dense_1`; what TensorFlow adds around is left out."""
    tensors = (*node.outputs, *(node.inputs[place] for place in node.constant_inputs))
    names = (*node.origins, node.name, *(re.sub(r":\d+$", "", spec.name) for spec in tensors))
    return tuple(dict.fromkeys(path for name in names for path in _layers_in(name)))


def _layer_fits(name: str, path: str) -> bool:
    return glob_fits(f"**/{name}/**", f"{path}/{ITSELF}")


def _layers_in(name: str) -> Iterator[str]:
    for one in name.split(";"):  # TFLite joins the names of what it fused
        parts = [part for part in one.split("/")[:-1] if part and part not in _CALLS]
        if parts:
            yield "/".join(parts)


def _class_fits(wanted: str, name: str) -> bool:
    if "." in wanted:
        return glob_fits(wanted.replace(".", "/"), name.replace(".", "/"))
    return glob_fits(wanted, name.rpartition(".")[2])


def _last_names(classes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.rpartition(".")[2] for name in classes))
