"""`bridge ops`: the table that the writer uses, in words."""

import json

import pytest

from bridge.cli import main
from bridge.errors import UsageError
from bridge.inspect.kernel_table import KernelView, kernel_table, render
from bridge.quantize import OPS, PRECISIONS
from bridge.quantize.missing_kernels import MISSING


def views(*ops: str) -> dict[str, KernelView]:
    return {view.precision: view for view in kernel_table(ops)}


def test_every_operator_stands_in_every_precision() -> None:
    table = kernel_table()
    assert {view.op for view in table} == {*OPS, *(row.op for row in MISSING)}
    assert len(table) == len({(view.op, view.precision) for view in table})
    assert {view.precision for view in table} == set(PRECISIONS) - {"float32"}


def test_a_kernel_stands_there_exactly_where_the_writer_has_one() -> None:
    for view in kernel_table():
        assert (view.kernel in ("yes", "if")) == (view.op in OPS and view.precision in OPS[view.op].kernels)
        assert (view.kernel == "if") == (view.condition != "")
        assert (view.reason != "") == (view.kernel in ("no", "-"))
        assert (view.measured is not None) == (view.kernel in ("yes", "if"))


def test_it_says_what_a_kernel_demands() -> None:
    assert views("SOFTMAX")["static_wi8_ai8"].demands == ("output scale 1/256, zero point -128",)
    assert views("BATCH_MATMUL")["static_wi8_ai8"].demands == ("zero point 0 in input 1",)
    assert views("CONV_2D")["static_wi8_ai16"].demands == ("zero point 0", "int8 weights with a scale per channel", "int64 bias")
    assert views("CONV_2D")["static_wi8_ai8"].version == "3, grouped 6"
    assert views("CONV_2D")["float16"].demands == ("float16 weights",)
    assert views("GATHER")["static_wi8_ai8"].demands == ("one scale for input and output", "takes the type of what it carries")
    assert views("UNIDIRECTIONAL_SEQUENCE_LSTM")["dynamic_wi8_afp32"].demands == ("int8 weights with one scale",)


def test_it_says_why_there_is_no_kernel_and_what_runs_instead() -> None:
    assert views("PRELU")["static_wi8_ai16"].reason == "it is up to 9025 steps off; float32 instead"
    assert views("CUMSUM")["static_wi8_ai8"].reason == "LiteRT has none; float32 instead"
    assert views("UNIDIRECTIONAL_SEQUENCE_LSTM")["static_wi8_ai8"].reason.endswith("; weight_only_wi8_afp32 instead")
    assert (views("RELU")["float16"].kernel, views("RELU")["float16"].reason) == ("-", "it has no weights, and activations are float")


def test_the_overview_has_a_line_per_operator() -> None:
    lines = render(kernel_table()).splitlines()
    assert lines[0].startswith("Kernels of LiteRT ")
    assert lines[1].split() == ["int8", "int16", "dynamic", "weights", "8", "weights", "4", "float16"]
    (prelu,) = [line for line in lines if line.split()[0] == "PRELU"]
    assert prelu.split() == ["PRELU", "yes", "no", "-", "-", "-", "-"]


def test_the_command_prints_details_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["ops", "SOFTMAX"], ["ops", "SOFTMAX", "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert not ended.value.code
    text, _, rest = capsys.readouterr().out.partition("{")
    assert "static_wi8_ai16: version 3; output scale 1/32768, zero point 0; zero point 0; if at most 32 entries" in text
    kernels = json.loads("{" + rest)["kernels"]
    assert [(kernel["precision"], kernel["kernel"]) for kernel in kernels if kernel["kernel"] != "-"] == [
        ("static_wi8_ai16", "if"),
        ("static_wi8_ai8", "if"),
    ]


def test_an_unknown_operator_is_named() -> None:
    with pytest.raises(UsageError, match="Nothing is known about an operator of that name, did you mean 'CONV_2D'"):
        kernel_table(("CONV_2",))
