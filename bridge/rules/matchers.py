"""What a condition of a rule can ask of a node: one small class per kind, the union at the foot is the table of kinds."""

from collections.abc import Mapping, Set
from math import isclose
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, Self, get_args, override

from pydantic import Field, StrictBool, StrictFloat, StrictInt, model_validator

from bridge.name_patterns import MAX_REGEX_LENGTH, compile_regex, glob_fits
from bridge.rules.context import Context
from bridge.rules.matcher import STANDARD_DOMAINS, BaseMatcher, ListedMatcher, Measurement, Name, Names, glob_suggestion, nearly_fits, present
from bridge.rules.measurements import DynamicRangeMatcher, OutliersMatcher, OwnErrorMatcher, ScaleMismatchMatcher
from bridge.rules.modules import LayerMatcher, ModuleClassMatcher, ScopeMatcher
from bridge.rules.places import PositionMatcher, RegionMatcher, TensorMatcher
from bridge.rules.sizes import AxisSizeMatcher, ChannelsMatcher, ConstantInputsMatcher, FanInMatcher
from bridge.rules.wording import listed, printable, shortened
from bridge.types import NodeFacts

PatternName = Literal[
    "layer_norm", "rms_norm", "group_norm", "instance_norm", "batch_norm", "l2_norm",
    "gelu", "silu", "mish", "hard_swish", "hard_sigmoid", "elu", "selu", "celu",
    "softmax", "log_softmax", "masked_softmax", "residual_add", "cnn_residual_add",
    "attention", "squeeze_excite", "rescaling", "positional_embedding", "first_layer", "last_layer", "detection_tail",
]  # fmt: skip
PATTERNS: tuple[str, ...] = get_args(PatternName)


EVERYTHING = "**"  # the glob that fits every name


class OpTypeMatcher(ListedMatcher):
    """Nodes whose ONNX op type is listed."""

    quantity: ClassVar[str] = "op type"
    kind: Literal["op_type"]
    op_types: Names = Field(
        description="Operator names as the ONNX specification spells them: Softmax, LayerNormalization, ...; for a TFLite source those of TFLite: CONV_2D, ..."
    )

    @override
    def wanted(self) -> Set[str]:
        return self.op_types

    @override
    def words(self, node: NodeFacts) -> tuple[str, ...]:
        return (node.op_type,)


class PatternMatcher(ListedMatcher):
    """Nodes that are, or belong to, a recognised pattern, however the model spells it; a node can belong to several."""

    quantity: ClassVar[str] = "pattern"
    kind: Literal["pattern"]
    patterns: frozenset[PatternName] = Field(min_length=1)

    @override
    def wanted(self) -> Set[str]:
        return self.patterns

    @override
    def words(self, node: NodeFacts) -> tuple[str, ...]:
        return node.patterns


class DomainMatcher(ListedMatcher):
    """Nodes of an operator domain; `""` and `ai.onnx` are both the standard one."""

    quantity: ClassVar[str] = "operator domain"
    kind: Literal["domain"]
    domains: frozenset[str] = Field(min_length=1, description="For example com.microsoft")

    @override
    def wanted(self) -> Set[str]:
        return self.domains | (STANDARD_DOMAINS if self.domains & STANDARD_DOMAINS else frozenset())

    @override
    def words(self, node: NodeFacts) -> tuple[str, ...]:
        return (node.domain,)


class DtypeMatcher(ListedMatcher):
    """Nodes that write a tensor of a listed dtype."""

    quantity: ClassVar[str] = "output dtype"
    kind: Literal["dtype"]
    dtypes: Names = Field(description="NumPy names: float32, int64, bool, ...")

    @override
    def wanted(self) -> Set[str]:
        return self.dtypes

    @override
    def words(self, node: NodeFacts) -> tuple[str, ...]:
        return tuple(spec.dtype for spec in node.outputs)


class NameMatcher(BaseMatcher):
    """Nodes whose name, or the name of any node of the source file that they stand for, matches as a whole."""

    kind: Literal["name"]
    glob: Name | None = Field(default=None, description="* stays within a / segment, ** crosses. A leading / of the name may be left out.")
    regex: Annotated[str, Field(min_length=1, max_length=MAX_REGEX_LENGTH)] | None = Field(
        default=None, description="Must match the whole name. No lookaround, no back references."
    )

    @model_validator(mode="after")
    def _one_usable_pattern(self) -> Self:
        if (self.glob is None) == (self.regex is None):
            raise ValueError("give either glob or regex")
        if self.regex is not None:
            compile_regex(self.regex)
        return self

    def _fits(self, name: str) -> bool:
        return glob_fits(self.glob, name) if self.glob is not None else compile_regex(self.regex or "").matches(name)

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return self._fits(node.name) or any(map(self._fits, node.origins))

    @override
    def covers(self, other: BaseMatcher) -> bool:
        return self == other or self.glob == EVERYTHING

    @override
    def describe(self) -> str:
        return f"node name matches glob {self.glob!r}" if self.glob is not None else f"node name matches regex {self.regex!r}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return listed(node_names(node), limit=6)

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        return self.glob is not None and nearly_fits(self.glob, (node.name, *node.origins))

    @override
    def suggestion(self, context: Context) -> str:
        if self.glob is None:
            return "a regex must match the whole name; put '.*' where anything may stand"
        return glob_suggestion("node name", self.glob, (name for node in context.nodes for name in node_names(node)))


class AttributeMatcher(BaseMatcher):
    """Nodes that set an attribute, or set it to one value. A default that the node leaves out does not count as set."""

    kind: Literal["attribute"]
    name: Name
    equals: StrictBool | StrictInt | StrictFloat | str | tuple[StrictInt | StrictFloat | str, ...] | None = Field(
        default=None, description="Leave out to ask only whether the attribute is set."
    )

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return self.name in node.attributes and (self.equals is None or _equal(node.attributes[self.name], self.equals))

    @override
    def describe(self) -> str:
        return f"attribute {self.name!r} is set" if self.equals is None else f"attribute {self.name!r} equals {self.equals!r}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return shortened(node.attributes[self.name]) if self.name in node.attributes else f"no {self.name!r} on {printable(node.op_type)}"

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        return self.name in node.attributes

    @override
    def suggestion(self, context: Context) -> str:
        return present("attribute", (self.name,), {name for node in context.nodes for name in node.attributes})


class NotMatcher(BaseMatcher):
    """Nodes for which the condition does not hold."""

    kind: Literal["not"]
    condition: "Matcher"

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return not self.condition.matches(node, context)

    @override
    def describe(self) -> str:
        return f"not ({self.condition.describe()})"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return self.condition.received(node, context)

    @override
    def waits(self, context: Context) -> frozenset[Measurement]:
        return self.condition.waits(context)


class AnyMatcher(BaseMatcher):
    """Nodes for which at least one of the conditions holds."""

    kind: Literal["any"]
    conditions: tuple["Matcher", ...] = Field(min_length=1)

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return any(one.matches(node, context) for one in self.conditions)

    @override
    def covers(self, other: BaseMatcher) -> bool:
        if isinstance(other, AnyMatcher):
            return all(self.covers(one) for one in other.conditions)
        return any(one.covers(other) for one in self.conditions)

    @override
    def describe(self) -> str:
        return f"any of ({'; '.join(one.describe() for one in self.conditions)})"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return "; ".join(dict.fromkeys(one.received(node, context) for one in self.conditions))

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        return any(one.nearly(node, context) for one in self.conditions)

    @override
    def suggestion(self, context: Context) -> str:
        return "; ".join(dict.fromkeys(filter(None, (one.suggestion(context) for one in self.conditions))))

    @override
    def waits(self, context: Context) -> frozenset[Measurement]:
        return frozenset().union(*(one.waits(context) for one in self.conditions))


def node_names(node: NodeFacts) -> tuple[str, ...]:
    """The name of the node and of all nodes of the source file that it stands for."""
    return tuple(dict.fromkeys((node.name, *node.origins)))


def _equal(value: object, wanted: object) -> bool:
    if isinstance(value, list | tuple) and isinstance(wanted, tuple):
        return len(value) == len(wanted) and all(map(_equal, value, wanted))
    if isinstance(value, float) and isinstance(wanted, int | float):
        return isclose(value, wanted, rel_tol=1e-6)  # ONNX keeps float32: 0.1 comes back as 0.10000000149
    return value == wanted


Matcher = Annotated[
    OpTypeMatcher
    | PatternMatcher
    | NameMatcher
    | ScopeMatcher
    | ModuleClassMatcher
    | LayerMatcher
    | TensorMatcher
    | RegionMatcher
    | PositionMatcher
    | DomainMatcher
    | AttributeMatcher
    | DtypeMatcher
    | AxisSizeMatcher
    | ChannelsMatcher
    | FanInMatcher
    | ConstantInputsMatcher
    | OwnErrorMatcher
    | DynamicRangeMatcher
    | OutliersMatcher
    | ScaleMismatchMatcher
    | NotMatcher
    | AnyMatcher,
    Field(discriminator="kind"),
]
NotMatcher.model_rebuild()
AnyMatcher.model_rebuild()
KINDS: Mapping[str, type[BaseMatcher]] = MappingProxyType(
    {get_args(matcher.model_fields["kind"].annotation)[0]: matcher for matcher in get_args(get_args(Matcher)[0])}
)
