"""What the results of several models are called, and what stands for a model in the options."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from bridge.batch import BatchModel, read_models
from bridge.batch.jobs import jobs_for
from bridge.errors import UsageError
from bridge.placeholders import filled


def names(*models: str | BatchModel) -> list[str]:
    return [job.name for job in jobs_for([one if isinstance(one, BatchModel) else BatchModel(Path(one)) for one in models], {}, ())]


@pytest.mark.parametrize(
    ("models", "expected"),
    [
        (["a.onnx", "x/b.pt2", "saved/"], ["a", "b", "saved"]),
        (["a.onnx", "a.keras"], ["a.onnx", "a.keras"]),
        (["x/model.onnx", "y/model.onnx", "z/other.onnx"], ["x-model", "y-model", "other"]),
        (["x/m.onnx", "x/m.pt2", "y/m.onnx"], ["x-m.onnx", "x-m.pt2", "y-m.onnx"]),
        (["../x.onnx", "a b.onnx", "<img src=x>.onnx"], ["x", "a b", "<img src=x>"]),
    ],
)
def test_results_are_named_after_the_stem_and_more_where_that_is_not_enough(models: Sequence[str], expected: list[str]) -> None:
    assert names(*models) == expected


def test_a_name_of_the_users_own_tells_two_runs_of_one_model_apart() -> None:
    assert names(BatchModel(Path("a.onnx"), "small"), BatchModel(Path("a.onnx"), "large"), "a.onnx") == ["small", "large", "a"]


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ([], "There is no model"),
        (["a.onnx", "a.onnx"], "a.onnx is given more than once"),
        (["x/a.onnx", "x/../x/a.onnx"], "more than once"),
        (["...onnx"], "no folder for its results can have the name '..'"),
        ([".hidden.onnx"], "the name '.hidden'"),
        (["summary.html.onnx"], "the name 'summary.html'"),
        ([BatchModel(Path("a.onnx"), "../elsewhere")], "the name '../elsewhere'"),
        ([BatchModel(Path("a.onnx"), "b"), "b.onnx"], "more than once|has the name 'b' for its results already"),
        (["x/m.onnx", "y/m.onnx", "x-m.onnx"], "has the name 'x-m' for its results already"),
    ],
)
def test_what_would_write_over_other_results_is_refused(models: Sequence[str | BatchModel], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        names(*models)


def test_paths_name_the_model() -> None:
    options = {
        "calibration": "data/{stem}/c.npz",
        "evaluation": None,
        "rules": ("default", "{dir}/mine.toml"),
        "baseline": Path("old/{name}/report.json"),
    }
    found = filled(options | {"gates": ("{stem}",)}, Path("zoo/net.onnx"), "zoo-net")
    assert found == {
        "calibration": "data/net/c.npz",
        "evaluation": None,
        "rules": ("default", "zoo/mine.toml"),
        "baseline": "old/zoo-net/report.json",
        "gates": ("{stem}",),
    }


LIST = """
[[models]]
path = "zoo/a.onnx"
rules = ["transformer"]
input = { ids = [1, 64] }
gate = ["sqnr>=20"]

[[models]]
path = "zoo/a.onnx"
name = "a16"
precision = "static_wi8_ai16"
"""


def test_a_list_says_what_holds_for_one_model_alone(tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(LIST)
    first, second = jobs_for(read_models(tmp_path / "models.toml"), {"rules": ("default",), "gates": ("sqnr>=30",), "precision": "float16"}, ())
    assert (first.name, first.options) == (
        "a",
        {"rules": ("default", "transformer"), "gates": ("sqnr>=20",), "precision": "float16", "input_shapes": {"ids": (1, 64)}},
    )
    assert (second.name, second.options) == ("a16", {"rules": ("default",), "gates": ("sqnr>=30",), "precision": "static_wi8_ai16"})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[models]", "cannot be read"),
        ("", "models: Field required"),
        ('[[models]]\nname = "a"', r"models\.0\.path: Field required"),
        ('[[models]]\npath = "a.onnx"\nrule = "x"', r"models\.0\.rule: Extra inputs"),
        ('[[models]]\npath = "a.onnx"\ninput = { x = [0] }', r"models\.0\.input\.x\.0"),
    ],
)
def test_a_list_that_is_wrong_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "models.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        read_models(tmp_path / "models.toml")
