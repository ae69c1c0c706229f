"""Einsum in terms of MatMul, and of Gemm where one operand is constant."""

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from onnx_text import Normalize

RANDOM = np.random.default_rng(9)
SIZES = dict(zip("abcdefghijklmnopqrstuvwxyz", [2, 3, 4, 5, 6, 2, 3, 4, 5, 2, 3, 4, 5, 6, 2, 3, 4, 5, 2, 3, 4, 5, 2, 3, 4, 5], strict=True))


def shape(axes: str) -> list[int]:
    return [SIZES[letter] for letter in axes]


@pytest.mark.parametrize(
    "equation",
    [
        "bhqd,bhkd->bhqk", "bhqk,bhkd->bhqd", "bqhd,bkhd->bhqk", "bhqk,bkhd->bqhd", "bij,bjk->bik", "bij,bjk", "i,j->ij", "ij,ij->", "ij,ij->i",
        "ncl,ncm->nlm", "ab,ab->ab", "abc,c->ab", "ab,cd->abcd", "ab,cd->dbca", " ij , jk -> ik ", "ijk,il->l",
    ],
)  # fmt: skip
def test_two_operands(normalized: Normalize, equation: str) -> None:
    left, right = equation.replace(" ", "").partition("->")[0].split(",")
    text = f'(float{shape(left)} x, float{shape(right)} z) => (float["N"] y) {{ y = Einsum<equation = "{equation}">(x, z) }}'
    result = normalized(_without_output_shape(text))
    assert "Einsum" not in result.ops
    assert "MatMul" in result.ops
    assert result.worst_sqnr_db() > 110


def _without_output_shape(text: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {text}')
    model.graph.output[0].type.tensor_type.ClearField("shape")
    return model


@pytest.mark.parametrize(
    ("equation", "ops"),
    [
        ("abc->cab", ["Transpose"]),
        ("abc->ac", ["ReduceSum"]),
        ("abc->ca", ["ReduceSum", "Transpose"]),
        ("ba", ["Transpose"]),
        ("ab->ab", ["Add"]),
    ],
)
def test_one_operand(normalized: Normalize, equation: str, ops: list[str]) -> None:
    axes = equation.partition("->")[0]
    result = normalized(_without_output_shape(f'(float{shape(axes)} x) => (float["N"] y) {{ y = Einsum<equation = "{equation}">(x) }}'))
    assert result.ops == ops
    assert result.worst_sqnr_db() > 120


@pytest.mark.parametrize(
    ("equation", "swapped"),
    [("abc,cd->abd", False), ("abc,cde->abde", False), ("abde,dec->abc", False), ("nchw,kc->nkhw", False), ("kc,nchw->nkhw", True)],
)
def test_a_constant_operand_becomes_a_weight(normalized: Normalize, equation: str, swapped: bool) -> None:
    left, right = equation.partition("->")[0].split(",")
    live, constant = (right, left) if swapped else (left, right)
    call = "w, x" if swapped else "x, w"
    model = _without_output_shape(f'(float{shape(live)} x) => (float["N"] y) {{ y = Einsum<equation = "{equation}">({call}) }}')
    model.graph.initializer.append(numpy_helper.from_array(RANDOM.standard_normal(shape(constant)).astype(np.float32), "w"))
    result = normalized(model)
    assert "Gemm" in result.ops
    assert not {"MatMul", "Einsum"} & set(result.ops)
    assert result.node("Einsum_0").op_type == "Gemm"
    assert result.worst_sqnr_db() > 110


@pytest.mark.parametrize("equation", ["ii->i", "...ij,...jk->...ik", "ij,jk,kl->il"])
def test_other_equations_stay(normalized: Normalize, equation: str) -> None:
    operands = equation.partition("->")[0].split(",")
    inputs = ", ".join(f"float[3, 3] x{index}" for index in range(len(operands)))
    names = ", ".join(f"x{index}" for index in range(len(operands)))
    result = normalized(_without_output_shape(f'({inputs}) => (float["N"] y) {{ y = Einsum<equation = "{equation}">({names}) }}'))
    assert result.ops == ["Einsum"]
