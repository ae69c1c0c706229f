"""What each replacement of an activation function costs: in float by itself, and in int8 beside the float island and the function's own int8 kernel.

    uv run python tests/bench/bench_replacements.py WORK_FOLDER DATA_FOLDER MODEL.onnx... [--int8 hard_swish ...] [--markdown FILE]

DATA_FOLDER holds `<model>/calibration.npz` and `<model>/evaluation.npz`. The float errors are those of all replaced nodes together, onnxruntime against
onnxruntime. `--int8` names the replacements that are also converted, with the default pack and without accuracy recovery. Each line printed is one JSON
object; lines that `WORK_FOLDER/replacements.jsonl` has already are not measured again. `--markdown` writes the tables of that file.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from bench_recovery import shapes

import bridge
from bridge import graph
from bridge.changes import change_model
from bridge.replacements import FUNCTION_OF_OPERATOR, REPLACEMENTS
from bridge.rules import apply, load
from bridge.samples import find_sources, open_samples
from bridge.sources import open_model

INT8 = "static_wi8_ai8"
CALIBRATED, EVALUATED = 64, 32
PATTERNS = ("gelu", "silu", "mish")
RULE = """schema_version = 1
[[rules]]
id = "measured"
reason = "Measured."
match = [{match}]
{action}
"""


def match(function: str) -> str:
    """The condition for all nodes of a function."""
    if function in PATTERNS:
        return f'{{ kind = "pattern", patterns = ["{function}"] }}'
    operator = next(op for op, name in FUNCTION_OF_OPERATOR.items() if name == function)
    return f'{{ kind = "op_type", op_types = ["{operator}"] }}, {{ kind = "not", condition = {{ kind = "pattern", patterns = ["gelu", "silu"] }} }}'


class Bench:
    """One model."""

    def __init__(self, model: Path, data: Path) -> None:
        self.model, self.data = model, data
        self.fixed = shapes(model, np.load(data / "calibration.npz"))
        self.source = open_model(model, input_shapes=self.fixed).model
        self.normal = graph.normalize(self.source, input_shapes=self.fixed)

    def samples(self, name: str, count: int) -> bridge.Calibration:
        """Some of the samples, spread evenly."""
        with np.load(self.data / f"{name}.npz") as arrays:
            return bridge.Calibration.from_arrays({key: arrays[key][:: max(1, len(arrays[key]) // count)][:count] for key in arrays.files})

    def in_float(self, function: str, name: str) -> dict[str, object] | None:
        """The error of the replacement by itself, None where the model has no such function."""
        with rule(function, f'replace = "{name}"\noptional = true') as path:
            applied = apply(load([path]), self.normal.nodes, default_precision=INT8)
        changed = change_model(self.source, self.normal, applied, threads=2)
        if not changed.changes:
            return None
        (source,) = find_sources(self.samples("evaluation", EVALUATED), preprocess=None)
        effects = changed.effects(open_samples(source, self.normal), threads=2)
        assert effects is not None  # there are changes
        return {
            "nodes": len(changed.changes),
            "there_db": min(one.sqnr_db for one in effects.each),
            "worst_alone_db": min(min(one.outputs.values()) for one in effects.each),
            "together_db": min(effects.together.values()),
        }

    def in_int8(self, function: str, action: str) -> dict[str, object]:
        """The int8 file with the default pack and one more action on all nodes of the function."""
        with tempfile.TemporaryDirectory() as folder, rule(function, action) as path:
            report = bridge.convert(
                self.model, calibration=self.samples("calibration", CALIBRATED), evaluation=self.samples("evaluation", EVALUATED),
                rules=("default", path), recover=(), input_shapes=self.fixed, output_dir=Path(folder) / "out", layer_samples=1,
            ).report  # fmt: skip
        cost = report.cost
        errors = [output.sqnr_db for output in report.outputs if output.sqnr_db is not None]
        return {"sqnr_db": min(errors), "bytes": cost.quantized_bytes, "ms": cost.quantized_ms, "float_ms": cost.float_ms}


class rule:  # noqa: N801  # used like a function
    """A rule file with one action on all nodes of a function, for as long as the block lasts."""

    def __init__(self, function: str, action: str) -> None:
        self._text = RULE.replace("{match}", match(function)).replace("{action}", action)
        self._folder = tempfile.TemporaryDirectory()

    def __enter__(self) -> Path:
        path = Path(self._folder.name) / "rule.toml"
        path.write_text(self._text, encoding="utf-8")
        return path

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


def lines(model: Path, data: Path, converted: Sequence[str], known: Sequence[Mapping[str, object]]) -> Iterator[dict[str, object]]:
    """What is not known yet of one model."""
    have = {(line["model"], line["function"], line["kind"], line["name"]) for line in known}
    bench = Bench(model, data)
    for function in sorted({function for row in REPLACEMENTS.values() for function in row.of}):
        names = [row.name for row in REPLACEMENTS.values() if function in row.of]
        found = [name for name in names if (model.stem, function, "float", name) in have]
        for name in names:
            if name not in found and (measured := bench.in_float(function, name)) is not None:
                found.append(name)
                yield {"model": model.stem, "function": function, "kind": "float", "name": name} | measured
        actions = {"float island": 'precision = "float32"', "own kernel": f'precision = "{INT8}"'}
        actions |= {name: f'precision = "{INT8}"\nreplace = "{name}"' for name in converted if name in found}
        if set(found) & set(converted):
            for name, action in actions.items():
                if (model.stem, function, "int8", name) not in have:
                    yield {"model": model.stem, "function": function, "kind": "int8", "name": name} | bench.in_int8(function, action)


def tables(known: Sequence[Mapping[str, object]]) -> str:
    """Markdown."""
    text = [
        "| model | function | replaced by | nodes | worst at a node, dB | worst output, one node alone, dB | worst output, all, dB |",
        "|---|---|---|---|---|---|---|",
    ]
    for line in (line for line in known if line["kind"] == "float"):
        figures = " | ".join(f"{line[key]:.1f}" for key in ("there_db", "worst_alone_db", "together_db"))
        text.append(f"| {line['model']} | {line['function']} | `{line['name']}` | {line['nodes']} | {figures} |")
    text += ["", "| model | function | in int8 | SQNR, dB | size, kB | latency, ms | float latency, ms |", "|---|---|---|---|---|---|---|"]
    for line in (line for line in known if line["kind"] == "int8"):
        name = line["name"] if line["name"] not in REPLACEMENTS else f"`{line['name']}`"
        text.append(
            f"| {line['model']} | {line['function']} | {name} | {line['sqnr_db']:.1f} | {int(str(line['bytes'])) / 1000:.0f} | {line['ms']:.2f} | {line['float_ms']:.2f} |"
        )
    return "\n".join(text) + "\n"


def main() -> None:
    """Measures what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--int8", nargs="*", default=[])
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    store = options.work / "replacements.jsonl"
    known = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    for model in options.models:
        for line in lines(model, options.data / model.stem, options.int8, known):
            known.append(line)
            text = json.dumps(line)
            sys.stdout.write(f"{text}\n")
            sys.stdout.flush()
            with store.open("a", encoding="utf-8") as file:
                file.write(f"{text}\n")
    if options.markdown:
        options.markdown.write_text(tables(known), encoding="utf-8")


if __name__ == "__main__":
    main()
