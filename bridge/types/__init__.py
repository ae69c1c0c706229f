"""Frozen values that cross stages. No arrays in here: a value holds names, shapes, paths and digests."""

from bridge.findings import Diagnostic, Severity
from bridge.types.basics import TensorSpec
from bridge.types.changes import Change, ChangeEffect, ChangeEffects, ChangeKind
from bridge.types.comparison import JoinedInput, LayerResult, MismatchedScales, OutputResult, SampleError
from bridge.types.conversion import ConvertedModel, Evidence, InputBinding, PairStatus, TensorMap, TensorPair
from bridge.types.models import Confirmation, Graph, NodeFacts, Run, SourceModel, SourceNode, SourceStatus, TensorStatistics
from bridge.types.quantization import OpOutcome, QuantizedModel, QuantizedSource, Ranges, Spread, StoredAs, TensorRange
from bridge.types.rulings import Decision, NearMiss, RangeChoice, RangeDecision, ReplacementDecision, RuleOutcome

__all__ = [
    "Change",
    "ChangeEffect",
    "ChangeEffects",
    "ChangeKind",
    "Confirmation",
    "ConvertedModel",
    "Decision",
    "Diagnostic",
    "Evidence",
    "Graph",
    "InputBinding",
    "JoinedInput",
    "LayerResult",
    "MismatchedScales",
    "NearMiss",
    "NodeFacts",
    "OpOutcome",
    "OutputResult",
    "PairStatus",
    "QuantizedModel",
    "QuantizedSource",
    "RangeChoice",
    "RangeDecision",
    "Ranges",
    "ReplacementDecision",
    "RuleOutcome",
    "Run",
    "SampleError",
    "Severity",
    "SourceModel",
    "SourceNode",
    "SourceStatus",
    "Spread",
    "StoredAs",
    "TensorMap",
    "TensorPair",
    "TensorRange",
    "TensorSpec",
    "TensorStatistics",
]
