"""Writes docs/operators.md from the outcomes of `run_operators.py`.

uv run python tests/operators/operator_table.py FOLDER/outcomes.jsonl > docs/operators.md
"""

import json
import sys
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

HEAD = """# ONNX operators

What `bridge convert --precision float32` makes of the ONNX backend node tests: models of one operator, with their inputs and outputs, in onnx {onnx}, those
with a float32 tensor among inputs and outputs. No samples are given, so the proof against onnxruntime runs on random inputs; then the TFLite file runs on the
inputs of the test in LiteRT, and its outputs are compared with those that ONNX ships, at the tolerances of the test. Names that end in `_expanded` are the
same tests on the operator's function body.

    uv run python tests/operators/run_operators.py --cache FOLDER
    uv run python tests/operators/operator_table.py FOLDER/outcomes.jsonl > docs/operators.md

| | cases | right | wrong | cannot run | refused |
|---|---|---|---|---|---|
"""
EXPLAINED = """
An input that decides a shape (the target of a Reshape, the axes of a reduction) counts as settled only where the shapes that the model declares leave one
value; it becomes a constant then, and the report says so (`input-settled`). Where several values fit, the case is refused as `dynamic-shape`; `constants=`
of `bridge.convert` fixes such an input. Nothing was fixed for these counts. `{noise}` cases count as right whose differences are below 2^-24 of the largest
element of the output: terms that cancel out in float32, in the shipped outputs as well.

## Why the others are refused

The cause stands in `BridgeError.causes`; exit code 3 is a model that cannot be converted, 4 a tool that failed or whose file disagreed with the reference.

| cause | cases | exit codes |
|---|---|---|
"""
ROWS = """
## By operator

| operator | cases | right | refused, and why |
|---|---|---|---|
"""


def table(outcomes: Sequence[Mapping[str, object]], *, onnx_version: str) -> str:
    """The whole page."""
    plain = [one for one in outcomes if "_expanded" not in str(one["case"])]
    lines = [_counts("tests of operators", plain), _counts("with the function bodies", outcomes)]
    noise = sum(one["status"] == "right" and "message" in one for one in outcomes)
    refused = [one for one in outcomes if one["status"] == "refused"]
    by_cause: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for one in refused:
        by_cause[_cause(one)].append(one)
    causes = [
        f"| {cause} | {len(cases)} | {', '.join(sorted({str(one['exit']) for one in cases}))} |"
        for cause, cases in sorted(by_cause.items(), key=lambda item: -len(item[1]))
    ]
    by_op: dict[str, list[Mapping[str, object]]] = defaultdict(list)
    for one in outcomes:
        by_op[str(one["op_type"])].append(one)
    rows = [_row(op, cases) for op, cases in sorted(by_op.items())]
    head = HEAD.format(onnx=onnx_version) + "\n".join(lines) + "\n"
    return head + EXPLAINED.format(noise=noise) + "\n".join(causes) + "\n" + ROWS + "\n".join(rows) + "\n"


def _cause(one: Mapping[str, object]) -> str:
    causes = one.get("causes")
    return ", ".join(map(str, causes)) if isinstance(causes, list) and causes else str(one.get("kind"))


def _counts(name: str, outcomes: Sequence[Mapping[str, object]]) -> str:
    found = Counter(str(one["status"]) for one in outcomes)
    return f"| {name} | {len(outcomes)} | {found['right']} | {found['wrong']} | {found['cannot-run'] + found['crash']} | {found['refused']} |"


def _row(op_type: str, cases: Sequence[Mapping[str, object]]) -> str:
    right = sum(one["status"] == "right" for one in cases)
    why = Counter(_cause(one) for one in cases if one["status"] == "refused")
    other = Counter(str(one["status"]) for one in cases if one["status"] not in ("right", "refused"))
    return f"| {op_type} | {len(cases)} | {right} | {', '.join(f'{count} {cause}' for cause, count in (why + other).most_common())} |"


def main() -> None:
    """Prints the page; of a case that ran several times the last outcome counts."""
    import onnx

    latest = {line["case"]: line for line in map(json.loads, Path(sys.argv[1]).read_text().splitlines())}
    sys.stdout.write(table([latest[name] for name in sorted(latest)], onnx_version=onnx.__version__))


if __name__ == "__main__":
    main()
