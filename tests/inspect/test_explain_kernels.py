from pathlib import Path

import onnx
import pytest

from bridge.errors import UsageError
from bridge.inspect import explain
from bridge.quantize import OPS
from bridge.rules import render

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[1, 8] x) => (float[1, 8] y)
{
   [act_relu] r = Relu(x)
   [act_sin] y = Sin(r)
}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), path)
    return path


def test_an_operator_without_a_kernel_in_the_precision_is_named_with_what_it_runs_in(model: Path) -> None:
    assert "static_wi8_ai8" not in getattr(OPS.get("SIN"), "kernels", {})
    relu, sine = explain(model, "act_*")
    assert relu.kernels == ()
    assert sine.kernels == ("no static_wi8_ai8 kernel for SIN: it runs in float32",)
    assert "  no static_wi8_ai8 kernel for SIN: it runs in float32" in render([sine]).splitlines()


def test_the_precision_that_no_rule_names_can_be_chosen(model: Path) -> None:
    (sine,) = explain(model, "act_sin", precision="float32")
    assert (sine.decision.precision, sine.kernels) == ("float32", ())


def test_an_unknown_precision_is_refused(model: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown precision\. Received: 'int7'"):
        explain(model, "*", precision="int7")
