"""Codes of the TFLite schema and their names, and the types of its objects.

Source: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs (schema version 3).
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

# The generated schema carries no types; the names say which object is meant.
type ModelT = Any
type SubGraphT = Any
type OperatorT = Any
type TensorT = Any
type QuantizationParametersT = Any

FILE_IDENTIFIER = b"TFL3"


def _names(enum: type) -> Mapping[int, str]:
    return MappingProxyType({value: name for name, value in vars(enum).items() if not name.startswith("_")})


OP_NAMES = _names(schema.BuiltinOperator)  # builtin code -> `CONV_2D`
OP_CODES = MappingProxyType({name: code for code, name in OP_NAMES.items()})
TYPE_NAMES = _names(schema.TensorType)  # tensor type code -> `INT8`
TYPE_CODES = MappingProxyType({name: code for code, name in TYPE_NAMES.items()})
ACTIVATION_CODES = MappingProxyType({name: code for code, name in _names(schema.ActivationFunctionType).items()})  # `RELU6` -> fused activation code

DTYPES: Mapping[int, np.dtype[Any]] = MappingProxyType(
    {
        TYPE_CODES[name]: np.dtype(dtype)
        for name, dtype in (
            ("FLOAT32", "float32"), ("FLOAT16", "float16"), ("FLOAT64", "float64"), ("INT8", "int8"), ("UINT8", "uint8"), ("INT16", "int16"),
            ("UINT16", "uint16"), ("INT32", "int32"), ("UINT32", "uint32"), ("INT64", "int64"), ("UINT64", "uint64"), ("BOOL", "bool"),
        )
    }
)  # fmt: skip
TYPES = MappingProxyType({dtype.name: TYPE_NAMES[code] for code, dtype in DTYPES.items()})  # `float32` -> `FLOAT32`
