"""`tensor_map.json`: the tensor map on disk, for people, other tools and later comparisons."""

import json
from dataclasses import asdict
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from bridge.errors import InputError
from bridge.types import TensorMap

SCHEMA_VERSION = 1
KEYS = {"schema_version", "model_sha256"}


def tensor_map_json(tensor_map: TensorMap, *, model_sha256: str) -> str:
    """The file's text; `model_sha256` is the digest of the float TFLite file that the map is of."""
    return json.dumps({"schema_version": SCHEMA_VERSION, "model_sha256": model_sha256} | asdict(tensor_map), indent=1) + "\n"


def read_tensor_map(path: Path) -> TensorMap:
    """The map that `tensor_map_json` wrote.

    Raises:
        InputError: the file cannot be read, or is no tensor map of this version.
    """
    hint = "Give the tensor_map.json that `bridge convert` wrote."
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", hint=hint) from error
    except ValueError as error:
        raise InputError(f"{path}: is no JSON: {error}.", hint=hint) from error
    if not isinstance(content, dict) or content.get("schema_version") != SCHEMA_VERSION:
        version = content.get("schema_version") if isinstance(content, dict) else None
        raise InputError(f"{path}: is no tensor map of schema_version {SCHEMA_VERSION}. Received: {version!r}.", hint=hint)
    try:
        return TypeAdapter(TensorMap).validate_python({key: value for key, value in content.items() if key not in KEYS})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise InputError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}.", hint=hint) from error
