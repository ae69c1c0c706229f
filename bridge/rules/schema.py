"""What a rule file may hold, and its JSON schema. Reading files is `bridge.rules.files`, wording of errors `bridge.rules.schema_errors`."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Literal, Self, get_args

import onnx.defs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from bridge.rules.matcher import BaseMatcher
from bridge.rules.matchers import STANDARD_DOMAINS, AnyMatcher, DomainMatcher, Matcher, NotMatcher, OpTypeMatcher
from bridge.rules.places import PositionMatcher
from bridge.rules.wording import closest

PrecisionName = Literal[
    "static_wi8_ai8", "static_wi8_ai16", "dynamic_wi8_afp32", "weight_only_wi8_afp32", "weight_only_wi4_afp32", "float16", "float32"
]  # fmt: skip
PRECISIONS: tuple[str, ...] = get_args(PrecisionName)
SCHEMA_VERSION = 1
_CERTAIN = 0.75  # similarity from which an unknown operator is a misspelling and not a custom operator


def _one_line(text: str) -> str:
    flat = " ".join(text.split())
    if not flat:
        raise ValueError("should not be empty")
    if not flat.isprintable():
        raise ValueError("control characters are not allowed here")
    return flat


def _known_version(version: int) -> int:
    if version != SCHEMA_VERSION:
        raise ValueError(f"this version of bridge reads schema_version = {SCHEMA_VERSION}")
    return version


Line = Annotated[str, Field(min_length=1, max_length=2000), AfterValidator(_one_line)]


class Rule(BaseModel):
    """The nodes for which all conditions hold get the precision."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Line = Field(description="Names the pattern, not the cure: softmax-large-fan-in. Unique in the file.")
    reason: Line = Field(description="Shown in every report. Best with a measurement.")
    match: tuple[Matcher, ...] = Field(min_length=1, description="Conditions; all must hold.")
    precision: PrecisionName = Field(description="What the nodes are kept in.")
    optional: StrictBool = Field(default=False, description="A rule that matches nothing is an error unless it is optional.")

    @model_validator(mode="after")
    def _operators_exist(self) -> Self:
        for name in unknown_operators(self):
            guess = closest(name, standard_operators(), cutoff=_CERTAIN)
            if guess:
                raise ValueError(f"{name!r} is no ONNX operator{guess} A custom operator needs a condition of kind 'domain' beside it.")
        return self


class RuleDocument(BaseModel):
    """A rule file. Rules are applied in order and later ones win."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="bridge rule file")

    schema_version: Annotated[StrictInt, AfterValidator(_known_version), Field(json_schema_extra={"const": SCHEMA_VERSION})]
    description: Line | None = Field(default=None, description="What the file is for, in a sentence.")
    reset: StrictBool = Field(default=False, description="Take back the rules of all files before this one.")
    rules: tuple[Rule, ...] = Field(description="May be empty.")


def conditions(matchers: Iterable[BaseMatcher]) -> Iterator[BaseMatcher]:
    """The matchers and all that stand inside `not` and `any`."""
    for matcher in matchers:
        yield matcher
        if isinstance(matcher, NotMatcher):
            yield from conditions((matcher.condition,))
        elif isinstance(matcher, AnyMatcher):
            yield from conditions(matcher.conditions)


@cache
def standard_operators() -> frozenset[str]:
    """Names of all operators of the ONNX specification."""
    return frozenset(schema.name for schema in onnx.defs.get_all_schemas())


def unknown_operators(rule: Rule) -> tuple[str, ...]:
    """Operators that the rule names and ONNX does not have; none where the rule asks for an operator domain."""
    found = tuple(conditions(rule.match))
    if any(isinstance(matcher, DomainMatcher) and not matcher.domains <= STANDARD_DOMAINS for matcher in found):
        return ()
    named = {name for matcher in found if isinstance(matcher, OpTypeMatcher | PositionMatcher) for name in matcher.op_types}
    return tuple(sorted(named - standard_operators()))


def json_schema() -> str:
    """The JSON schema of rule files, as text; editors check and complete TOML with it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | RuleDocument.model_json_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
