"""Matchers that ask for what calibration samples tell; without such samples they match nothing."""

from collections.abc import Callable
from typing import Annotated, ClassVar, Literal, override

from pydantic import Field, StrictFloat, StrictInt

from bridge.rules.context import Context
from bridge.rules.matcher import BaseMatcher, Measurement
from bridge.types import NodeFacts, TensorStatistics

# Their result is of the size of their inputs: where those differ, the narrow one keeps few steps. A product has a scale of its own.
_JOINING = frozenset({"Add", "Concat", "Max", "Mean", "Min", "Sub", "Sum", "Where"})
NOT_MEASURED = "not measured, a conversion with calibration samples does that"
NEARLY_DB = 2.0  # own errors this far above a bound are near misses
NEARLY_SHARE = 0.8  # ratios this close below a bound are near misses


class OwnErrorMatcher(BaseMatcher):
    """Nodes that lose too much by themselves in the default precision, as measured on calibration samples; never without such data."""

    kind: Literal["own_error"]
    below_db: StrictFloat | StrictInt = Field(description="SQNR in dB of the node alone: its quantized operators with float inputs.")

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return node.own_sqnr_db is not None and node.own_sqnr_db < self.below_db

    @override
    def covers(self, other: BaseMatcher) -> bool:
        return isinstance(other, OwnErrorMatcher) and self.below_db >= other.below_db

    @override
    def describe(self) -> str:
        return f"own error is below {self.below_db:g} dB"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return NOT_MEASURED if node.own_sqnr_db is None else f"{node.own_sqnr_db:.1f} dB"

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        return node.own_sqnr_db is not None and node.own_sqnr_db < self.below_db + NEARLY_DB

    @override
    def suggestion(self, context: Context) -> str:
        measured = [node.own_sqnr_db for node in context.nodes if node.own_sqnr_db is not None]
        return f"own errors run from {min(measured):.1f} dB in this model" if measured else "nothing was measured"

    @override
    def waits(self, context: Context) -> frozenset[Measurement]:
        return frozenset() if any(node.own_sqnr_db is not None for node in context.nodes) else frozenset({"own_errors"})


class RatioMatcher(BaseMatcher):
    """Nodes for which a ratio of two widths of ranges reaches a bound."""

    quantity: ClassVar[str]
    measurement: ClassVar[Measurement]
    at_least: Annotated[float, Field(strict=True, ge=1.0, allow_inf_nan=False)]

    def ratio(self, node: NodeFacts) -> float | None:
        """The ratio, None where it was not measured or there is none."""
        raise NotImplementedError

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        ratio = self.ratio(node)
        return ratio is not None and ratio >= self.at_least

    @override
    def covers(self, other: BaseMatcher) -> bool:
        return isinstance(other, type(self)) and self.at_least <= other.at_least

    @override
    def describe(self) -> str:
        return f"{self.quantity} is at least {self.at_least:g}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        ratio = self.ratio(node)
        if self.waits(context):
            return NOT_MEASURED
        return f"no {self.quantity}" if ratio is None else f"{ratio:.4g}"

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        ratio = self.ratio(node)
        return ratio is not None and ratio >= self.at_least * NEARLY_SHARE

    @override
    def suggestion(self, context: Context) -> str:
        ratios = [ratio for node in context.nodes if (ratio := self.ratio(node)) is not None]
        return f"{self.quantity} goes up to {max(ratios):.4g} in this model" if ratios else "nothing was measured"

    @override
    def waits(self, context: Context) -> frozenset[Measurement]:
        made = (one for node in context.nodes for one in node.statistics.values())
        known = any(one.most is not None for one in made) if self.measurement == "spreads" else any(True for _ in made)
        return frozenset() if known else frozenset({self.measurement})


class DynamicRangeMatcher(RatioMatcher):
    """Nodes that write a tensor whose range is many times wider than what the middle half of its values takes."""

    quantity: ClassVar[str] = "dynamic range ratio"
    measurement: ClassVar[Measurement] = "spreads"
    kind: Literal["dynamic_range"]
    at_least: Annotated[float, Field(strict=True, ge=1.0, allow_inf_nan=False)] = Field(
        description="Calibrated range over the range between the first and the third quarter of the values: an int8 range of ratio 256 has one step for them."
    )

    @override
    def ratio(self, node: NodeFacts) -> float | None:
        return _largest(node, lambda one: one.half)


class OutliersMatcher(RatioMatcher):
    """Nodes that write a tensor whose range a few outliers make much wider than nearly all of its values need."""

    quantity: ClassVar[str] = "outlier ratio"
    measurement: ClassVar[Measurement] = "spreads"
    kind: Literal["outliers"]
    at_least: Annotated[float, Field(strict=True, ge=1.0, allow_inf_nan=False)] = Field(
        description="Calibrated range over the range that 99.9 % of the values need."
    )

    @override
    def ratio(self, node: NodeFacts) -> float | None:
        return _largest(node, lambda one: one.most)


class ScaleMismatchMatcher(RatioMatcher):
    """Nodes that join activations (Concat, Add, ...) of very different ranges: in int8 the narrow one gets a few steps of the wide one."""

    quantity: ClassVar[str] = "ratio of the widest to the narrowest input range"
    measurement: ClassVar[Measurement] = "ranges"
    kind: Literal["scale_mismatch"]
    at_least: Annotated[float, Field(strict=True, ge=1.0, allow_inf_nan=False)] = Field(
        description="Widest over narrowest calibrated range, zero included, of the activations that the node reads."
    )

    @override
    def ratio(self, node: NodeFacts) -> float | None:
        if node.op_type not in _JOINING:
            return None
        names = dict.fromkeys(spec.name for place, spec in enumerate(node.inputs) if place not in node.constant_inputs)
        widths = [node.statistics[name].width for name in names if name in node.statistics]
        widths = [width for width in widths if width > 0.0]  # what is 0 throughout needs no scale
        return max(widths) / min(widths) if len(widths) > 1 else None


def _largest(node: NodeFacts, part: Callable[[TensorStatistics], float | None]) -> float | None:
    """Of what the node writes, the largest ratio of the whole width to a part of it; a part without width says nothing."""
    made = [node.statistics[spec.name] for spec in node.outputs if spec.name in node.statistics]
    ratios = [one.width / width for one in made if (width := part(one)) is not None and width > 0.0]
    return max(ratios, default=None)
