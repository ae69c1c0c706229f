"""Refuses Keras files with Python code in them, whatever the version of Keras would do with it."""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py

from bridge.errors import InputError
from bridge.frontends.archives import is_archive, read_description

NAMED = 5


def refuse_code(path: Path) -> None:
    """Passes a file whose layers are classes that Keras knows by name; a description that is no such JSON passes as well, Keras says why.

    A Lambda layer stores the byte code of its function. Keras before 3.11.3 ran that of an .h5 file in its safe mode too (CVE-2025-9905).

    Raises:
        InputError: it is an archive without a sound description, or layers hold code, which are named.
    """
    try:
        holders = sorted(set(_holders(json.loads(_description(path)), "")))
    except (OSError, KeyError, TypeError, ValueError, RecursionError, RuntimeError):  # what h5py and json raise
        return
    if not holders:
        return
    more = f" and {len(holders) - NAMED} more" if len(holders) > NAMED else ""
    raise InputError(
        f"{path}: holds Python code, which is never run: {', '.join(map(repr, holders[:NAMED]))}{more} (Lambda).",
        hint="If you trust the file: keras.saving.load_model(file, safe_mode=False) in Python, then bridge.convert(model). "
        "A layer class with `call` instead of the Lambda needs no code in the file.",
        code="code-in-file",
    )


def _description(path: Path) -> str | bytes:
    """The layers and their options as JSON."""
    if is_archive(path):
        return read_description(path, "config.json")
    with h5py.File(path) as file:
        text: str | bytes = file.attrs["model_config"]
        return text


def _holders(part: object, layer: str) -> Iterator[str]:
    """Names of the layers in whose options there is code: Keras 3 writes it as an object, Keras 2 as a list with a type beside it."""
    if isinstance(part, list):
        for one in part:
            yield from _holders(one, layer)
    elif isinstance(part, dict):
        if isinstance(config := part.get("config"), dict) and isinstance(config.get("name"), str):
            layer = config["name"]
        if part.get("class_name") == "__lambda__" or any(str(key).endswith("function_type") and value == "lambda" for key, value in part.items()):
            yield layer
        for one in part.values():
            yield from _holders(one, layer)
