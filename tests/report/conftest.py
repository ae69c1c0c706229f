from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from bridge.report.build import build
from bridge.report.compression import Compression, WeightCompression
from bridge.report.schema import Conversion, Cost, Divergence, Evaluation, LoneFloatOp, Metric, NodeCost, OperatorCost, Report
from bridge.report.values import Histogram, WeightChannels
from bridge.task_metrics import TaskResult
from bridge.types import (
    Change,
    ChangeEffect,
    ChangeEffects,
    ConvertedModel,
    Decision,
    Diagnostic,
    Graph,
    InputBinding,
    LayerResult,
    NearMiss,
    NodeFacts,
    OpOutcome,
    OutputResult,
    QuantizedModel,
    Ranges,
    RuleOutcome,
    SampleError,
    SourceNode,
    TensorMap,
    TensorPair,
    TensorSpec,
)

# conv -> relu -> reshape -> layer norm (three nodes) -> fc -> gelu -> softmax, beside a folded Shape and a dead Identity.
INT8, FLOAT = "static_wi8_ai8", "float32"
OUT = Path("/out")


def _facts(name: str, op_type: str, read: str, written: str, patterns: tuple[str, ...] = (), origins: tuple[str, ...] = ()) -> NodeFacts:
    def spec(tensor: str) -> TensorSpec:
        return TensorSpec(tensor, (1, 8), "float32")

    return NodeFacts(name, op_type, "", patterns, "", origins or (name,), (spec(read),), (spec(written),))


NODES = (
    _facts("conv", "Conv", "image", "conv_out"),
    _facts("relu", "Relu", "conv_out", "relu_out"),
    _facts("flat", "Reshape", "relu_out", "flat_out"),
    _facts("ln/div", "LayerNormalization", "flat_out", "ln_out", ("layer_norm",), ("ln/mean", "ln/sub", "ln/div")),
    _facts("fc", "Gemm", "ln_out", "fc_out"),
    _facts("gelu", "Gelu", "fc_out", "gelu_out", ("gelu",)),
    _facts("softmax", "Softmax", "gelu_out", "scores"),
)
SOURCE_NODES = (
    SourceNode("conv", "Conv", "", "features", ("conv_out",), "kept", "conv"),
    SourceNode("relu", "Relu", "", "features", ("relu_out",), "kept", "relu"),
    SourceNode("shape", "Shape", "", "", ("shape_out",), "folded", None, "the shape is fixed"),
    SourceNode("flat", "Reshape", "", "", ("flat_out",), "kept", "flat"),
    SourceNode("ln/mean", "ReduceMean", "", "norm", ("mean_out",), "fused", "ln/div", "part of layer_norm"),
    SourceNode("ln/sub", "Sub", "", "norm", ("sub_out",), "fused", "ln/div", "part of layer_norm"),
    SourceNode("ln/div", "Div", "", "norm", ("ln_out",), "fused", "ln/div", "part of layer_norm"),
    SourceNode("fc", "Gemm", "", "head", ("fc_out",), "kept", "fc"),
    SourceNode("gelu", "Gelu", "", "head", ("gelu_out",), "kept", "gelu"),
    SourceNode("softmax", "Softmax", "", "head", ("scores",), "kept", "softmax"),
    SourceNode("left", "Identity", "", "", ("left_out",), "dead", None, "no output depends on it"),
)
OPS = (
    ("CONV_2D", "conv", INT8, ""),
    ("MEAN", "ln/div", FLOAT, ""),
    ("SUB", "ln/div", FLOAT, ""),
    ("FULLY_CONNECTED", "fc", INT8, ""),
    ("GELU", "gelu", FLOAT, "no int8 kernel for GELU"),
    ("SUB", "softmax", FLOAT, "no int8 kernel for SUB of a maximum"),
    ("SOFTMAX", "softmax", INT8, ""),
)
WHY_FLOAT = "Per-token variance collapses in int8."


def _pair(node: str, tensor: str, status: Any, reason: str = "", permutation: tuple[int, ...] = (0, 1)) -> TensorPair:
    if status != "mapped":
        return TensorPair(node, tensor, status, reason)
    return TensorPair(node, tensor, status, reason, f"tfl_{tensor}", (1, 8), permutation, "values", 120.0)


PAIRS = (
    _pair("conv", "conv_out", "fused", "relu is part of the CONV_2D"),
    _pair("relu", "relu_out", "mapped", permutation=(0, 3, 1, 2)),
    _pair("shape", "shape_out", "folded", "the shape is fixed"),
    _pair("flat", "flat_out", "mapped"),
    _pair("ln/mean", "mean_out", "mapped"),
    _pair("ln/sub", "sub_out", "fused", "part of layer_norm"),
    _pair("ln/div", "ln_out", "mapped"),
    _pair("fc", "fc_out", "mapped"),
    _pair("gelu", "gelu_out", "mapped"),
    _pair("softmax", "scores", "mapped"),
    _pair("left", "left_out", "dead", "no output depends on it"),
)
ERRORS = {  # tensor -> conversion, inherited, own SQNR in dB, RMSE / scale
    "relu_out": (130.5, 35.2, 35.2, 0.31),
    "flat_out": (130.5, 35.2, float("inf"), 0.0),
    "mean_out": (128.0, 33.0, None, None),
    "ln_out": (121.0, 31.4, None, None),
    "fc_out": (118.2, 22.8, 19.5, 1.25),
    "gelu_out": (117.9, 21.0, None, None),
    "scores": (float("inf"), 24.6, 28.1, 0.5),
}


def _layer(pair: TensorPair) -> LayerResult:
    base = LayerResult(pair.node, pair.tensor, pair.status, pair.reason, pair.tflite_tensor, pair.permutation, pair.evidence)
    if pair.tensor not in ERRORS:
        return base
    conversion, inherited, own, rmse = ERRORS[pair.tensor]
    why = "" if own is not None else "runs in float32"
    return replace(
        base,
        conversion_sqnr_db=conversion,
        inherited_sqnr_db=inherited,
        own_sqnr_db=own,
        rmse_over_scale=rmse,
        cosine=0.999,
        max_abs=0.25,
        reason=why,
        worst_samples=(SampleError("cat.png", 12.25), SampleError("sample 7", 14.0)),
        metrics=(("clipped_share", 0.001),),
    )


def _decision(node: NodeFacts) -> Decision:
    if "layer_norm" in node.patterns:
        return Decision(node.name, FLOAT, "layer-norm", "default.toml", 12, WHY_FLOAT, ("all-int8",))
    return Decision(node.name, INT8, None, None, None, "the default precision")


@pytest.fixture
def stages() -> dict[str, Any]:
    """Keyword arguments of `build` for one small run."""
    graph = Graph(
        model=None,  # type: ignore[arg-type]  # the report does not look at it
        nodes=NODES,
        source_nodes=SOURCE_NODES,
        inputs=(TensorSpec("image", (1, 3, 4, 4), "float64"),),
        outputs=(TensorSpec("scores", (1, 8), "float32"),),
        tensor_names={},
        node_names={},
        diagnostics=(Diagnostic("float-width", "info", "The model computes in float64; it runs in float32.", node="conv"),),
        digest="5ca1ab1e" * 8,
    )
    tensor_map = TensorMap(
        pairs=PAIRS,
        inputs=(InputBinding("image", "serving_image:0", (1, 3, 4, 4), (0, 2, 3, 1), "float32"),),
        outputs=(PAIRS[9],),
        owners=tuple(owner for _, owner, _, _ in OPS),
        absorbed={"relu": ("conv",)},
    )
    return {
        "path": "net.onnx",
        "framework": "onnx",
        "graph": graph,
        "decisions": {node.name: _decision(node) for node in NODES},
        "outcomes": (
            RuleOutcome(
                "layer-norm", "default.toml", 12, WHY_FLOAT, FLOAT, ("ln/div",), (NearMiss("fc", "op type is one of 'LayerNorm'. Received: 'Gemm'"),)
            ),
            RuleOutcome("all-int8", "all-int8.toml", 3, "Everything.", INT8, ("ln/div",)),
        ),
        "converted": ConvertedModel(OUT / "net.float32.tflite", "f10a" * 16, tensor_map, "2.6.9"),
        "quantized": QuantizedModel(
            OUT / f"net.{INT8}.tflite", "1278" * 16, INT8, tuple(OpOutcome(i, op, precision, why, i) for i, (op, _, precision, why) in enumerate(OPS))
        ),
        "ranges": Ranges(
            {},
            64,
            "calib.npz",
            "f10a" * 16,
            (Diagnostic("ranges-still-growing", "warning", "Ranges still grow.", "Use more samples."),),
            growth={"tfl_fc_out": (0.5, 0.75, 0.875, 1.0), "inner": (0.25, 0.5, 0.5, 1.0), "steady": (1.0, 1.0, 1.0, 1.0)},
        ),
        "layers": tuple(_layer(pair) for pair in PAIRS),
        "outputs": (OutputResult("scores", 24.6, 0.9981, 0.031, float("inf"), 0.985, 0.931, 0.926),),
        "evaluation": Evaluation(samples=16, source="calib.npz", held_out=True, labels=True),
        "compression": Compression(
            float_zeros=0.5,
            quantized_zeros=0.51,
            float_distinct=16,
            quantized_distinct=15,
            float_gzip_bytes=1_900_000,
            quantized_gzip_bytes=420_000,
            weights=(
                WeightCompression(
                    node="conv", tensor="w", values=288, float_zeros=0.5, quantized_zeros=0.51, float_distinct=16, quantized_distinct=15, scales=1
                ),
            ),
        ),
        "cost": Cost(
            float_ms=4.2,
            quantized_ms=1.4,
            quantize_ops=3,
            dequantize_ops=3,
            transpose_ops=1,
            float_mac_share=0.02,
            float_bytes=4_200_000,
            quantized_bytes=1_150_000,
            converted_elements=640,
            cancelling_pairs=0,
            lone_float_ops=(
                LoneFloatOp(node="ln/div", op="DIV", converted_elements=512, alone_ms=0.12, latency_share=0.086),
                LoneFloatOp(node="fc", op="GELU", converted_elements=128),
            ),
            operators=(
                OperatorCost(op="FULLY_CONNECTED", type="INT8", count=1, alone_ms=0.6, share=0.75),
                OperatorCost(op="SUB", type="FLOAT32", count=2, alone_ms=0.2, share=0.25),
                OperatorCost(op="CUSTOM:Swoosh", type="FLOAT32", count=1),
            ),
            busiest=(NodeCost(node="fc", ops=("FULLY_CONNECTED",), alone_ms=0.6, share=0.75),),
            conversions=(
                Conversion(op="DEQUANTIZE", behind="fc", before=("gelu",), elements=512, alone_ms=0.05),
                Conversion(op="QUANTIZE", behind="", before=(), elements=48),
            ),
        ),
        "changes": CHANGES,
        "effects": ChangeEffects(
            (ChangeEffect(CHANGES[0], 61.2, {"scores": 55.1}), ChangeEffect(CHANGES[1], float("inf"), {"scores": 24.0})), {"scores": 23.9}, 8
        ),
        "divergence": Divergence(node="fc", tensor="fc_out", error="own", sqnr_db=19.5, threshold_db=20.0),
        "histograms": (
            Histogram(
                tensor="fc_out",
                minimum=-1.0,
                maximum=1.0,
                reference=(0, 3, 9, 4),
                candidate=(1, 3, 8, 4),
                samples=16,
                range_minimum=-0.5,
                range_maximum=4.5,
                clipped_below=0.0125,
                clipped_above=0.0,
            ),
        ),
        "weights": (WeightChannels(node="fc", op="FULLY_CONNECTED", channels=3, widths=(0.8, 0.4, 0.2)),),
        "metrics": (Metric(name="clipped_share", better="lower"),),
        "task_metrics": (
            TaskResult("top5", 0.98, 0.99, "higher", "", "scores", 16),
            TaskResult("edge_error", 1.5, 1.25, "lower", "px", "", 16),
        ),
        "diagnostics": (Diagnostic("quantized-not-faster", "warning", "int8 is not faster than float.", "See cost.", None),),
        "gates": ("sqnr>=20", "layer:own_sqnr>=25"),
        "artifacts": {FLOAT: OUT / "net.float32.tflite", INT8: OUT / f"net.{INT8}.tflite"},
        "output_dir": OUT,
        "versions": {"bridge": "0.1.0", "onnx2tf": "2.6.9"},
        "timing_s": {"normalize": 0.12, "convert": 2.5, "quantize": 0.4, "compare": 3.25},
        "spent_s": {"whole": 6.5, "own": 2.0, "onnx2tf": 2.25, "opening": 0.5, "inference": 1.75},
        "peak_rss_mb": 612.5,
        "options": {"rules": ("default",), "seed": 0},
    }


CHANGES = (
    Change("replace", "gelu", "gelu_out", "gelu", "gelu_tanh", True, "tanh", "mine.toml", 3),
    Change("clip", "fc", "fc_out", "", "-6 .. 6", False, "tails", "mine.toml", 9),
)


@pytest.fixture
def report(stages: dict[str, Any]) -> Report:
    return build(**stages)


@pytest.fixture
def rename(stages: dict[str, Any]) -> Callable[[str], Report]:
    """The same run with the node `fc`, its tensor and its scope renamed."""

    def renamed(name: str) -> Report:
        graph = stages["graph"]
        source = tuple(replace(node, name=name, into=name, scope=name) if node.name == "fc" else node for node in graph.source_nodes)
        facts = tuple(replace(node, name=name, origins=(name,)) if node.name == "fc" else node for node in graph.nodes)
        converted = stages["converted"]
        owners = tuple(name if owner == "fc" else owner for owner in converted.tensor_map.owners)
        pairs = tuple(replace(pair, node=name) if pair.node == "fc" else pair for pair in converted.tensor_map.pairs)
        decisions = {node.name: replace(_decision(node), reason=name) for node in facts}
        lone = stages["cost"].lone_float_ops
        changes = tuple(replace(change, node=name, tensor=name, rule=name, file=name) for change in CHANGES)
        changed = {
            "graph": replace(graph, source_nodes=source, nodes=facts),
            "decisions": decisions,
            "converted": replace(converted, tensor_map=replace(converted.tensor_map, owners=owners, pairs=pairs)),
            "layers": tuple(
                replace(layer, node=name, reason=name, worst_samples=(SampleError(name, 1.0),)) if layer.node == "fc" else layer
                for layer in stages["layers"]
            ),
            "outcomes": (replace(stages["outcomes"][0], matched=(name,), id=name, reason=name),),
            "diagnostics": (Diagnostic("first-divergence", "warning", name, name, name),),
            "divergence": stages["divergence"].model_copy(update={"node": name}),
            "path": name,
            "histograms": tuple(one.model_copy(update={"tensor": name}) for one in stages["histograms"]),
            "weights": tuple(one.model_copy(update={"node": name}) for one in stages["weights"]),
            "ranges": replace(stages["ranges"], growth={name: (0.5, 0.5, 0.5, 1.0)}),
            "changes": changes,
            "effects": ChangeEffects((ChangeEffect(changes[0], 61.2, {name: 55.1}),), {name: 23.9}, 8),
            "cost": stages["cost"].model_copy(
                update={
                    "lone_float_ops": tuple(row.model_copy(update={"node": name}) for row in lone),
                    "busiest": tuple(row.model_copy(update={"node": name}) for row in stages["cost"].busiest),
                    "conversions": tuple(row.model_copy(update={"behind": name, "before": (name,)}) for row in stages["cost"].conversions),
                }
            ),
        }
        return build(**(stages | changed))

    return renamed
