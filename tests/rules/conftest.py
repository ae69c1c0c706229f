"""Nodes and rule files made in one line."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pytest

from bridge.rules import RuleFile, load
from bridge.types import NodeFacts, TensorSpec, TensorStatistics

HEAD = "schema_version = 1\n"


def _node(
    name: str = "n",
    op_type: str = "Relu",
    *,
    domain: str = "",
    patterns: Sequence[str] = (),
    scope: str = "",
    origins: Sequence[str] = (),
    inputs: Sequence[str] = ("x",),
    outputs: Sequence[str] = ("y",),
    weight: tuple[int, ...] | None = None,
    shape: tuple[int | str, ...] = (1, 8),
    dtype: str = "float32",
    constants: Sequence[int] = (),
    classes: Sequence[str] = (),
    statistics: Mapping[str, TensorStatistics] = MappingProxyType({}),
    **attributes: object,
) -> NodeFacts:
    reads = tuple(TensorSpec(one, (1, 8), "float32") for one in inputs)
    return NodeFacts(
        name=name,
        op_type=op_type,
        domain=domain,
        patterns=tuple(patterns),
        scope=scope,
        origins=tuple(origins) or (name,),
        inputs=(*reads, TensorSpec(f"{name}.weight", weight, "float32")) if weight else reads,
        outputs=tuple(TensorSpec(one, shape, dtype) for one in outputs),
        constant_inputs=(len(reads),) if weight else tuple(constants),
        attributes=MappingProxyType(attributes),
        module_classes=tuple(classes),
        statistics=statistics,
    )


@pytest.fixture
def node() -> Callable[..., NodeFacts]:
    return _node


@pytest.fixture
def rule_file(tmp_path: Path) -> Callable[..., RuleFile]:
    """Loads `match` lists, one rule each, or a whole text."""

    def make(*matches: str, text: str = "", precision: str | None = "float32", extra: str = "", name: str = "mine.toml", top: str = "") -> RuleFile:
        action = f'precision = "{precision}"' if precision else ""
        rules = "".join(
            f'[[rules]]\nid = "r{index}"\nreason = "because"\nmatch = [{match}]\n{action}\n{extra}\n' for index, match in enumerate(matches)
        )
        path = tmp_path / name
        path.write_text(text or f"{HEAD}{top}\n{rules or 'rules = []'}", encoding="utf-8")
        return load([path])[0]

    return make
