"""Imports point one way, each heavy tool has one gate, and every code of a finding is documented."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.findings import KINDS

ROOT = Path(__file__).parents[1] / "bridge"
LAYERS = (
    {"ahead", "findings", "heap", "onnx2tf_waiting", "outside", "own_process"},
    {"beside", "errors", "limits", "name_patterns", "onnx_wire", "progress", "toml_text"},
    {
        "agreement",
        "class_scores",
        "clustering",
        "configuration",
        "files",
        "plugins",
        "grid",
        "indented_json",
        "module_paths",
        "observer_names",
        "recovery_names",
        "replacements",
        "supervised",
    },
    {"large_weights", "task_metrics", "types"},
    {"tflite", "custom_ops"},
    {"frontends", "graph", "rules", "convert", "calibrate", "quantize", "compare", "compress", "report"},
    {"changes", "decisions", "placeholders", "progress_bars", "range_choices", "recover", "samples", "sources"},
    {"conversion_result", "custom_nodes", "kept_quantization"},
    {"preparing"},
    {"comparing", "pipeline", "rule_checking", "tracing"},
    {"tune", "inspect", "qat", "testing"},
    {"batch", "integrations"},
    {"cli_options"},
    {"cli_convert", "cli_report"},
    {"cli_sensitivity", "cli_tune"},
    {"cli_commands"},
    {"cli"},
    {"__main__", "__init__"},
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
GATES: dict[str, str | tuple[str, ...]] = {
    "ai_edge_litert.interpreter": "tflite/interpreter.py",
    "ai_edge_litert.schema_py_generated": "tflite/",
    "distributed": "tune/dask_cluster.py",
    "flatbuffers": "tflite/",
    "PIL": "calibrate/images.py",
    "onnxruntime": "compare/runners.py",
    "keras": ("frontends/tensorflow_export.py", "integrations/keras.py", "qat/keras_"),
    "lightning": "integrations/lightning.py",
    "tensorflow": ("frontends/tensorflow_export.py", "qat/keras_"),
    "tf2onnx": "frontends/tensorflow_export.py",
    "torch": ("frontends/torch_export.py", "qat/torch_"),
    "typer": "cli",
}
HEAVY = (
    "PIL",
    "ai_edge_litert",
    "distributed",
    "jinja2",
    "keras",
    "numpy",
    "onnx",
    "onnx2tf",
    "onnx_ir",
    "onnxruntime",
    "onnxscript",
    "pydantic",
    "tensorflow",
    "torch",
)


def imported_names(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_imports_point_down(path: Path) -> None:
    here = path.relative_to(ROOT).as_posix()
    mine = here.split("/")[0].removesuffix(".py")
    for module in imported_names(path):
        head, _, rest = module.partition(".")
        if head == "bridge" and rest:
            theirs = rest.partition(".")[0]
            assert theirs == mine or RANK[theirs] < RANK[mine], f"{here} must not import bridge.{theirs}"
        for gated, gate in GATES.items():
            assert not (module == gated or module.startswith(f"{gated}.")) or here.startswith(gate), f"only {gate} imports {gated}"


def test_import_and_help_load_no_heavy_package() -> None:
    code = f"""
import sys, bridge, bridge.cli
try:
    bridge.cli.main(["--help"])
except SystemExit as end:
    assert end.code == 0
print("loaded:", sorted(set(sys.modules) & set({HEAVY!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("loaded: []\n")


# What a conversion of a plain ONNX file never needs, or not before onnx2tf works: imports are a third of what a small model takes.
NOT_AT_THE_START = (
    "PIL",
    "bridge.batch",
    "bridge.report",
    "jinja2",
    "multiprocessing",
    "numpy.ma",
    "onnx.reference",
    "onnxscript",
    "rich",
    "sympy",
    "tensorflow",
    "torch",
    "tqdm",
)


def test_a_conversion_starts_without_what_it_needs_late_or_never() -> None:
    code = f"""
import sys, bridge.pipeline, bridge.placeholders
print("loaded:", sorted(set(sys.modules) & set({NOT_AT_THE_START!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "loaded: []\n"


def written_codes() -> Iterator[tuple[str, str]]:
    """Every code that stands in the sources as a text: first argument or `code=` of a Diagnostic, `code=` and `causes=` of an error."""
    for path in ROOT.rglob("*.py"):
        for call in (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)):
            name = ast.unparse(call.func)
            said = [word.value for word in call.keywords if word.arg in ("code", "causes")]
            said += call.args[:1] if name == "Diagnostic" else []
            if name == "Diagnostic" or name.endswith("Error"):
                constants = [node.value for part in said for node in ast.walk(part) if isinstance(node, ast.Constant)]
                yield from ((code, f"{path.name}:{call.lineno}") for code in constants if isinstance(code, str) and code)


def test_every_code_in_the_sources_has_an_entry() -> None:
    written = dict(written_codes())
    assert {code: place for code, place in written.items() if code not in KINDS} == {}, "add it to bridge/findings, with a test that provokes it"
    assert len(written) > 60


def test_no_two_test_files_have_one_name() -> None:
    """pytest collects by base name here: helpers beside the tests are imported by theirs."""
    names = [path.name for path in Path(__file__).parent.rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))
