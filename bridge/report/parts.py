"""What every piece of a report is made of: frozen models, and numbers that may be infinite."""

import math
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, WithJsonSchema

NON_FINITE = ("inf", "-inf", "nan")  # how JSON, which has no such numbers, spells them here


def _read_real(value: object) -> object:
    if isinstance(value, str) and value not in NON_FINITE:
        raise ValueError(f"a number, or one of {', '.join(NON_FINITE)}")
    return value


def _write_real(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


Real = Annotated[
    float,
    BeforeValidator(_read_real),
    PlainSerializer(_write_real, when_used="json"),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"enum": list(NON_FINITE)}]}),
]
type Scalar = bool | int | Real | str | None


class Part(BaseModel):
    """A frozen piece of a report; keys that a reader does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
