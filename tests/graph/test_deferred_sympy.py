"""onnx_ir loads without SymPy and works all the same."""

import subprocess
import sys

CODE = """
import sys
import bridge.graph
assert "sympy" not in sys.modules, "loaded for nothing"
import onnx_ir as ir
size = ir.SymbolicDim("N")
assert str(size * 2 + 1) == "2*N + 1"
assert "sympy" in sys.modules, "arithmetic needs the real one"
import sympy
assert sympy.Max(1, 2) == 2
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_sympy_is_loaded_only_for_symbolic_arithmetic() -> None:
    run(CODE)


def test_a_sympy_that_is_there_already_is_used() -> None:
    run("import sympy, bridge.graph, onnx_ir; assert onnx_ir._core.sympy is sympy")
