"""Refuses `.pt2` archives that hold code: torch.export.load unpickles, evaluates and links whatever is in one, and says that it does.

Read are the archive's names and the JSON of its programs. What a program needs, as torch.export.save writes it, passes: operators of torch.ops, names
that are identifiers, sizes and guards that are arithmetic. Pickled weights and samples are left to torch's own restricted unpickler.

Source: torch/export/pt2_archive/_package.py and torch/_export/serde/serialize.py of torch 2.15.
"""

import ast
import json
import keyword
import re
from collections.abc import Iterator
from pathlib import Path

from bridge.errors import InputError
from bridge.frontends.archives import check_archive, read_description

# Folder -> what the names of files in it look like; `data/aotinductor` holds shared libraries, `data/constants/opaque_obj_0` a pickle of anything.
_FILES = re.compile(
    r"(models/[\w.-]+\.json|data/weights/[\w.-]+|data/constants/([\w.-]+_config\.json|tensor_[\w.-]*)|data/sample_inputs/[\w.-]+\.pt"
    r"|extra/.*|archive_format|archive_version|byteorder|version|\.data/(version|serialization_id)|\.format_version|\.storage_alignment)"
)
_OPERATORS = re.compile(r"torch\.ops\.\w+\.\w+(\.\w+)?|_operator\.\w+|math\.\w+|torch\.sym_\w+|torch\._sym_\w+|")
_NUMBER_FUNCTIONS = frozenset(
    [
        "Abs",
        "Add",
        "And",
        "CeilDiv",
        "CeilToInt",
        "CleanDiv",
        "Eq",
        "Float",
        "FloatPow",
        "FloatTrueDiv",
        "FloorDiv",
        "FloorToInt",
        "Ge",
        "Gt",
        "Identity",
        "IntTrueDiv",
        "Integer",
        "LShift",
        "Le",
        "Lt",
        "Max",
        "Min",
        "Mod",
        "ModularIndexing",
        "Mul",
        "Ne",
        "Not",
        "Or",
        "Piecewise",
        "Pow",
        "PowByNatural",
        "PythonMod",
        "RShift",
        "Rational",
        "RoundDecimal",
        "RoundToInt",
        "Symbol",
        "ToFloat",
        "TruncToFloat",
        "TruncToInt",
        "Where",
    ]
)
_SYMBOLS = re.compile(r"(s|u|zf|zuf|i|n|d)\d+|L|oo|int_oo|True|False")
_METHODS = frozenset({"size", "stride", "storage_offset", "dim", "numel"})
_SYNTAX = (
    ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.BinOp, ast.operator, ast.UnaryOp, ast.unaryop, ast.Compare, ast.cmpop, ast.Call, ast.Name, ast.Load,
    ast.Constant, ast.keyword, ast.Subscript, ast.Attribute,
)  # fmt: skip
_MAX_DEPTH = 200
_HINT = "Give a file that torch.export.save wrote; with objects of your own, load it in Python and call bridge.convert(program)."


def check_program(path: Path) -> None:
    """Passes an archive whose programs only compute.

    Raises:
        InputError: it cannot be read, or holds what could be code; names the first such thing.
    """
    names = check_archive(path)
    root = names[0].partition("/")[0] if names else ""
    for name in names:
        own = name.removeprefix(f"{root}/")
        if not _FILES.fullmatch(own) or ".." in own:
            raise InputError(f"{path}: holds {name[:160]!r}, which is no part of a program that only computes.", hint=_HINT, code="code-in-file")
        if not own.startswith("models/"):
            continue
        try:
            program = json.loads(read_description(path, name))
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path}: {name!r} is damaged: {error}.", hint=_HINT, code="model-unreadable") from error
        for problem in _problems(program, "", 0):
            raise InputError(f"{path}: {problem}.", hint=_HINT, code="code-in-file")


def _problems(value: object, key: str, depth: int) -> Iterator[str]:
    """What in the JSON of a program is more than arithmetic."""
    if depth > _MAX_DEPTH:
        yield "its program is nested too deeply"
    elif isinstance(value, dict):
        for inner, content in value.items():
            if key.endswith("_values") and not _is_name(inner):
                yield f"a value of its program is called {inner[:80]!r}"
            if inner != "metadata":  # texts for people
                yield from _problems(content, inner, depth + 1)
    elif isinstance(value, list):
        for content in value:
            yield from _problems(content, key, depth + 1)
    elif isinstance(value, str):
        check, what = _CHECKS.get(key, (None, ""))
        if check is not None and not check(value):
            yield f"its program has {what} {value[:80]!r}"


def _is_name(text: str) -> bool:
    return text == "" or (text.isascii() and text.isidentifier() and not keyword.iskeyword(text))


def _is_operator(text: str) -> bool:
    return _OPERATORS.fullmatch(text) is not None and "from_file" not in text and "load_library" not in text


def _is_arithmetic(text: str) -> bool:
    """Numbers, sizes, sums and comparisons of them; sympy and torch evaluate such a text as Python."""
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    for node in ast.walk(tree):
        if not isinstance(node, _SYNTAX):
            return False
        if isinstance(node, ast.Call):
            function = node.func
            known = (isinstance(function, ast.Name) and function.id in _NUMBER_FUNCTIONS) or (
                isinstance(function, ast.Attribute) and function.attr in _METHODS
            )
            if not known or not all(isinstance(one.value, ast.Constant) for one in node.keywords):  # `Symbol('s0', positive=True)`
                return False
        elif isinstance(node, ast.Attribute):
            if node.attr not in _METHODS | {"shape"}:
                return False
        elif isinstance(node, ast.Name) and node.id not in _NUMBER_FUNCTIONS and not _SYMBOLS.fullmatch(node.id):
            return False
    return True


_CHECKS = {
    "name": (_is_name, "a value called"),
    "target": (_is_operator, "the operator"),
    "as_operator": (_is_operator, "the operator"),
    "expr_str": (_is_arithmetic, "the size"),
    "guards_code": (_is_arithmetic, "the guard"),
}
