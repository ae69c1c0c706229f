"""TOML of strangers, parsed in bounded time: `tomllib` needs quadratic time for long dotted keys and recurses into what is nested."""

import re
import tomllib

MAX_DOTS = 64  # on a line, outside of strings

STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})' r"|'''.*?'''(?:'{0,2})" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'",
    re.DOTALL,
)
_STRING_OR_COMMENT = re.compile(f"{STRING.pattern}|#[^\\n]*", re.DOTALL)


def loads(text: str) -> dict[str, object]:
    """What a TOML text says.

    Raises:
        tomllib.TOMLDecodeError: it is no TOML, or none that can be parsed in bounded time and depth.
    """
    if (line := line_with_long_key(text)) is not None:
        raise tomllib.TOMLDecodeError(f"a dotted key is too long (at line {line})")
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("it is nested too deeply") from error


def line_with_long_key(text: str) -> int | None:
    """Line of a dotted key too long to be parsed in bounded time, None if there is none; `text` need not be TOML."""
    plain = _STRING_OR_COMMENT.sub(lambda found: "\n" * found.group().count("\n"), text)
    return next((number for number, line in enumerate(plain.split("\n"), start=1) if line.count(".") > MAX_DOTS), None)
