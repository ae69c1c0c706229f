"""What a rule file may hold, and its JSON schema. Reading files is `bridge.rules.files`, wording of errors `bridge.rules.schema_errors`."""

import json
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Annotated, Literal, Self, get_args

import onnx.defs
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from bridge.errors import UsageError
from bridge.observer_names import OBSERVER_NAMES, PATTERN, parse_observer
from bridge.replacements import NONE, ReplacementName
from bridge.rules.matcher import STANDARD_DOMAINS, BaseMatcher
from bridge.rules.matchers import AnyMatcher, DomainMatcher, Matcher, NotMatcher, OpTypeMatcher
from bridge.rules.measurements import OwnErrorMatcher, RatioMatcher
from bridge.rules.places import PositionMatcher
from bridge.rules.wording import closest
from bridge.tflite.model import OP_CODES
from bridge.types import RangeChoice

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


def _known_observer(text: str) -> str:
    try:
        parse_observer(text)
    except UsageError as error:
        guess = closest(text.partition(":")[0], OBSERVER_NAMES)
        raise ValueError(f"{error.message.rstrip('.')}{guess or '.'} {error.hint}") from error
    return text


def _span(ends: tuple[float, ...]) -> tuple[float, ...]:
    if len(ends) != 2 or ends[0] >= ends[1]:
        raise ValueError("should be the two ends of a range, the smaller first")
    return ends


def _pair(ends: tuple[float, ...] | None) -> tuple[float, float] | None:
    return None if ends is None else (ends[0], ends[1])


Span = Annotated[
    tuple[Annotated[float, Field(strict=True, allow_inf_nan=False)], ...],
    AfterValidator(_span),
    Field(json_schema_extra={"minItems": 2, "maxItems": 2}),
]


class Rule(BaseModel):
    """The nodes for which all conditions hold get the precision, the tensors they write the range, and another function takes their place."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: Line = Field(description="Names the pattern, not the cure: softmax-large-fan-in. Unique in the file.")
    reason: Line = Field(description="Shown in every report. Best with a measurement.")
    match: tuple[Matcher, ...] = Field(min_length=1, description="Conditions; all must hold.")
    precision: PrecisionName | None = Field(default=None, description="What the nodes are kept in.")
    observer: Annotated[str, AfterValidator(_known_observer), Field(json_schema_extra={"pattern": PATTERN})] | None = Field(
        default=None, description="How the ranges of the tensors they write are made of the calibration data."
    )
    range: Span | None = Field(default=None, description="The range of these tensors, whatever the data say.")
    clip: Span | None = Field(default=None, description="The calibrated range is cut to this one.")
    replace: ReplacementName | None = Field(
        default=None,
        description="What takes the place of the activation function that the nodes are; this changes the model, and the report says by how much.",
    )
    optional: StrictBool = Field(default=False, description="A rule that matches nothing is an error unless it is optional.")

    @model_validator(mode="after")
    def _operators_exist(self) -> Self:
        for name in unknown_operators(self):
            guess = closest(name, standard_operators(), cutoff=_CERTAIN)
            if guess:
                raise ValueError(f"{name!r} is no ONNX operator{guess} A custom operator needs a condition of kind 'domain' beside it.")
        return self

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.precision is None and self.replace is None and not self.sets_range:
            raise ValueError("a rule gives at least one of precision, observer, range, clip and replace")
        if self.range is not None and (self.observer is not None or self.clip is not None):
            raise ValueError("a range is fixed, so neither observer nor clip can change it: give the range alone")
        by_measurement = next((one for one in conditions(self.match) if isinstance(one, OwnErrorMatcher | RatioMatcher)), None)
        if by_measurement is not None and (self.sets_range or self.replace is not None):
            kind = get_args(type(by_measurement).model_fields["kind"].annotation)[0]
            what = "with the ranges, so it cannot choose them" if self.sets_range else "on the converted model, so it cannot choose what is converted"
            raise ValueError(f"{kind} is measured {what}")
        return self

    @property
    def sets_range(self) -> bool:
        """Whether the rule says how ranges are made."""
        return self.choice is not None

    @property
    def action(self) -> str:
        """What it does to the nodes, in a few words."""
        replaced = {None: "", NONE: "replaced by nothing"}.get(self.replace, f"replaced by {self.replace}")
        return ", ".join(filter(None, (self.precision, str(self.choice or ""), replaced)))

    @property
    def choice(self) -> RangeChoice | None:
        """How ranges are made, None where the rule says nothing about that."""
        if self.observer is None and self.range is None and self.clip is None:
            return None
        return RangeChoice(self.observer, _pair(self.range), _pair(self.clip))


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
    """Operators that the rule names and neither ONNX nor TFLite has; none where the rule asks for an operator domain."""
    found = tuple(conditions(rule.match))
    if any(isinstance(matcher, DomainMatcher) and not matcher.domains <= STANDARD_DOMAINS for matcher in found):
        return ()
    named = {name for matcher in found if isinstance(matcher, OpTypeMatcher | PositionMatcher) for name in matcher.op_types}
    return tuple(sorted(named - standard_operators() - frozenset(OP_CODES)))  # those of TFLite are the nodes of a TFLite source


def json_schema() -> str:
    """The JSON schema of rule files, as text; editors check and complete TOML with it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema"} | RuleDocument.model_json_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
