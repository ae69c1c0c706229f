"""`bridge rules check`: findings about rule files, by themselves or beside a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bridge import rules as rules_stage
from bridge.sources import open_model
from bridge.types import Diagnostic


def check_rules(
    files: Sequence[str | Path],
    *,
    source: object = None,
    input_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
) -> tuple[Diagnostic, ...]:
    """Findings about rule files, with `source` also which rules match nothing in that model.

    Raises:
        UsageError: the model or a rule file cannot be read.
    """
    if source is None:
        return rules_stage.check(files)
    opened = open_model(source, input_shapes=input_shapes, example_inputs=example_inputs, signature=signature)
    return rules_stage.check(files, nodes=opened.graph.nodes)
