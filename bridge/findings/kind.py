"""What a finding is, and what stands in the table of their kinds."""

from typing import Literal

from msgspec import Struct

Severity = Literal["info", "warning", "error"]


class Kind(Struct, frozen=True):
    """One kind of finding, documented.

    Attributes:
        code: stable, kebab-case.
        severities: that it comes with, the usual one first.
        title: what it means.
        cause: how a model, its data or a command comes to it.
        example: what the user sees: `<severity>: <message>`.
        cure: what to do.
    """

    code: str
    severities: tuple[Severity, ...]
    title: str
    cause: str
    example: str
    cure: str


def error(code: str, title: str, *, cause: str, example: str, cure: str, also: tuple[Severity, ...] = ()) -> Kind:
    """A finding that ends the work; `also` in milder cases."""
    return Kind(code, ("error", *also), title, cause, example, cure)


def warning(code: str, title: str, *, cause: str, example: str, cure: str, also: tuple[Severity, ...] = ()) -> Kind:
    """A finding that makes the result doubtful; `also` in milder or graver cases."""
    return Kind(code, ("warning", *also), title, cause, example, cure)


def info(code: str, title: str, *, cause: str, example: str, cure: str, also: tuple[Severity, ...] = ()) -> Kind:
    """A finding that explains the result; `also` in graver cases."""
    return Kind(code, ("info", *also), title, cause, example, cure)
