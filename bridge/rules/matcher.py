"""What every matcher is: a frozen pydantic model that answers for one node and says in words why not. Also the three families they fall into."""

from collections.abc import Iterable, Set
from functools import lru_cache
from typing import Annotated, ClassVar, Literal, Self, override

from pydantic import BaseModel, ConfigDict, Field, StrictInt, model_validator

from bridge.name_patterns import MAX_GLOB_LENGTH, glob_fits
from bridge.rules.context import Context
from bridge.rules.wording import closest, listed, printable
from bridge.types import NodeFacts

Name = Annotated[str, Field(min_length=1, max_length=MAX_GLOB_LENGTH)]
Names = Annotated[frozenset[Name], Field(min_length=1)]

STANDARD_DOMAINS = frozenset({"", "ai.onnx"})  # two spellings of one domain

Measurement = Literal["ranges", "spreads", "own_errors"]  # what calibration samples tell, in the order it is made


class BaseMatcher(BaseModel):
    """One condition. `kind` names it in a rule file; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def matches(self, node: NodeFacts, context: Context) -> bool:
        """Whether the condition holds for the node."""
        raise NotImplementedError

    def matching(self, nodes: Iterable[NodeFacts], context: Context) -> list[NodeFacts]:
        """Those for which the condition holds."""
        return [node for node in nodes if self.matches(node, context)]

    def describe(self) -> str:
        """The condition in words, for example `op type is one of 'Softmax'`."""
        raise NotImplementedError

    def received(self, node: NodeFacts, context: Context) -> str:
        """What the node has where the condition looks."""
        raise NotImplementedError

    def nearly(self, node: NodeFacts, context: Context) -> bool:
        """Whether a node that does not match is close enough to be worth naming. Asked for every node, so it must be cheap."""
        return False

    def suggestion(self, context: Context) -> str:
        """Where no node matches: what would, or what the model has instead. Empty when there is nothing to say."""
        return ""

    def waits(self, context: Context) -> frozenset[Measurement]:
        """The measurements that the condition asks for and that have not been made yet: as long as there are any, matching nothing says nothing."""
        return frozenset()

    def covers(self, other: "BaseMatcher") -> bool:
        """Whether this holds, by its words alone, wherever the other one does."""
        return self == other

    def refusal(self, node: NodeFacts, context: Context) -> str:
        """One line: the condition that does not hold and what the node has."""
        return f"{self.describe()}. Received: {self.received(node, context)}"


class ListedMatcher(BaseMatcher):
    """Nodes with a word that the rule lists."""

    quantity: ClassVar[str]  # what the word is, in the singular

    def wanted(self) -> Set[str]:
        """The listed words."""
        raise NotImplementedError

    def words(self, node: NodeFacts) -> tuple[str, ...]:
        """The node's own words."""
        raise NotImplementedError

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return not self.wanted().isdisjoint(self.words(node))

    @override
    def matching(self, nodes: Iterable[NodeFacts], context: Context) -> list[NodeFacts]:
        apart, words = self.wanted().isdisjoint, self.words
        return [node for node in nodes if not apart(words(node))]

    @override
    def covers(self, other: BaseMatcher) -> bool:
        return isinstance(other, type(self)) and self.wanted() >= other.wanted()

    @override
    def describe(self) -> str:
        return f"{self.quantity} is one of {listed(sorted(self.wanted()))}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return listed(dict.fromkeys(self.words(node))) or f"no {self.quantity}"

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        return any(_alike(word, wanted) for word in self.words(node) for wanted in self.wanted())

    @override
    def suggestion(self, context: Context) -> str:
        return present(self.quantity, self.wanted(), {word for node in context.nodes for word in self.words(node)})


class GlobMatcher(BaseMatcher):
    """Nodes with a name that fits a glob."""

    quantity: ClassVar[str]  # what the name is, in the singular
    glob: Name

    def names(self, node: NodeFacts) -> tuple[str, ...]:
        """The node's names that the glob may fit."""
        raise NotImplementedError

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return any(glob_fits(self.glob, name) for name in self.names(node))

    @override
    def describe(self) -> str:
        return f"{self.quantity} matches glob {self.glob!r}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return listed(dict.fromkeys(self.names(node)), limit=6) or f"no {self.quantity}"

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        return nearly_fits(self.glob, self.names(node))

    @override
    def suggestion(self, context: Context) -> str:
        return glob_suggestion(self.quantity, self.glob, (name for node in context.nodes for name in self.names(node)))


class BoundedMatcher(BaseMatcher):
    """Nodes that have a number, between the bounds, both included."""

    quantity: ClassVar[str]
    at_least: Annotated[StrictInt, Field(ge=0)] | None = None
    at_most: Annotated[StrictInt, Field(ge=0)] | None = None

    @model_validator(mode="after")
    def _bounds_make_sense(self) -> Self:
        if self.at_least is None and self.at_most is None:
            raise ValueError("give at_least, at_most or both")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            raise ValueError(f"at_least {self.at_least} is larger than at_most {self.at_most}")
        return self

    def measure(self, node: NodeFacts) -> int | None:
        """The number, None where the node has none."""
        raise NotImplementedError

    def _within(self, value: int, slack: float) -> bool:
        return (self.at_least is None or value >= self.at_least * (1 - slack)) and (self.at_most is None or value <= self.at_most * (1 + slack))

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        value = self.measure(node)
        return value is not None and self._within(value, slack=0.0)

    @override
    def covers(self, other: BaseMatcher) -> bool:
        if not isinstance(other, type(self)) or self._beside_bounds() != other._beside_bounds():
            return False
        low = self.at_least is None or (other.at_least is not None and self.at_least <= other.at_least)
        return low and (self.at_most is None or (other.at_most is not None and self.at_most >= other.at_most))

    def _beside_bounds(self) -> dict[str, object]:
        return self.model_dump(exclude={"at_least", "at_most"})

    @override
    def describe(self) -> str:
        bounds = (("at least", self.at_least), ("at most", self.at_most))
        return f"{self.quantity} is " + " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        value = self.measure(node)
        return f"no {self.quantity}" if value is None else str(value)

    @override
    def nearly(self, node: NodeFacts, context: Context) -> bool:
        value = self.measure(node)
        return value is not None and self._within(value, slack=0.1)

    @override
    def suggestion(self, context: Context) -> str:
        values = [value for node in context.nodes if (value := self.measure(node)) is not None]
        return f"{self.quantity} runs from {min(values)} to {max(values)} in this model" if values else f"no node of this model has a {self.quantity}"


def present(quantity: str, wanted: Iterable[str], found: Set[str]) -> str:
    """For words that the model does not have: the close ones, else all that it has."""
    close = [f"{printable(word)!r}{guess}" for word in sorted(wanted) if (guess := closest(word, found))]
    return "; ".join(close) or (f"{quantity} in this model: {listed(sorted(found))}" if found else f"no node of this model has a {quantity}")


def nearly_fits(glob: str, names: Iterable[str]) -> bool:
    """Whether the glob would fit one of the names if case did not count and every `*` crossed `/`."""
    loose = _loosened(glob)
    return any(glob_fits(loose, name.lower()) for name in names)


@lru_cache(maxsize=4096)
def _loosened(glob: str) -> str:
    return glob.lower().replace("*", "**")


def glob_suggestion(quantity: str, glob: str, names: Iterable[str], *, separator: str = "/") -> str:
    """For a glob that fits none of the names: the reason where it is a usual one, else the closest name or a few of them."""
    known = list(dict.fromkeys(name for name in names if name))
    loose = glob.replace("*", "**")
    for fits, why in (
        (lambda name: glob_fits(loose, name), f"'*' does not cross {separator!r}, '**' does"),
        (lambda name: glob_fits(loose.lower(), name.lower()), "upper and lower case differ"),
        (lambda name: glob_fits(f"**{loose}**", name), "the whole name must match"),
    ):
        if hit := next(filter(fits, known), None):
            return f"{why}: {printable(hit)!r}"
    guess = closest(glob, known)
    return (
        f"{glob!r}{guess}" if guess else f"a {quantity} here looks like {listed(known[:3])}" if known else f"no node of this model has a {quantity}"
    )


@lru_cache(maxsize=4096)
def _alike(word: str, wanted: str) -> bool:
    return bool(closest(word, (wanted,)))
