"""onnx_ir loads without SymPy, folding and the version converter without onnxscript around them, and all work all the same."""

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


FOLDS = """
import sys
import bridge.graph.folding
assert not [name for name in sys.modules if name.startswith(("onnxscript", "onnx.reference"))], "loaded for nothing"
import onnx, onnx_ir as ir
model = ir.from_proto(onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 20]> g (float[2] x) => (float[2] y) <float[2] a = {1, 2}> { b = Add(a, a) y = Mul(x, b) }'))
bridge.graph.folding.fold_constants(model)
assert [node.op_type for node in model.graph] == ["Mul"]
import onnxscript.optimizer
assert onnxscript.optimizer.optimize(ir.to_proto(model)).graph.node[0].op_type == "Mul"
assert onnxscript.script and onnx.reference.ReferenceEvaluator
"""


def test_folding_computes_and_leaves_the_real_onnxscript_to_others() -> None:
    run(FOLDS)


LIFTS = """
import sys
import bridge.graph.opset
import onnx, onnx_ir as ir
model = ir.from_proto(onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 9]> g (float[1, 1, 2, 2] x) => (float[1, 1, 4, 4] y) <float[4] s = {1, 1, 2, 2}> { y = Upsample <mode = "nearest"> (x, s) }'))
assert bridge.graph.opset.lift_opset(model) == () and model.opset_imports[""] == 20
assert "Resize" in [node.op_type for node in model.graph]
assert not [name for name in sys.modules if name.startswith(("onnxscript", "onnx.reference"))], "loaded for nothing"
import onnxscript.version_converter
assert onnxscript.script and onnx.reference.ReferenceEvaluator
"""


def test_a_model_is_lifted_without_the_rest_of_onnxscript() -> None:
    run(LIFTS)


def test_an_onnxscript_that_is_there_already_is_used() -> None:
    run(
        "import onnxscript.optimizer._constant_folding as real, bridge.graph.folding as ours; assert issubclass(ours._Folder, real.FoldConstantsPass)"
    )
