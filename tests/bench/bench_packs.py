"""What each rule pack does to each model: output SQNR, size, latency, share of float arithmetic.

    uv run python tests/bench/bench_packs.py WORK_FOLDER DATA_FOLDER MODEL.onnx... [--set default ...] [--apart default] [--markdown FILE]

DATA_FOLDER holds `<model>/calibration.npz` and `<model>/evaluation.npz`. Each model is converted and calibrated once, into WORK_FOLDER, then quantized
once per set of packs, without accuracy recovery, so that the difference between two sets is that of their rules. Each line printed is one JSON object;
lines that `WORK_FOLDER/packs.jsonl` has already are not measured again. `--apart` also measures a pack without each of its rules in turn.
`--markdown` writes the tables of all lines of that file, between the marks where FILE has them.
"""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import median

import numpy as np
from bench_packs_table import into
from bench_recovery import dataset, shapes

import bridge
from bridge import frontends, graph, quantize
from bridge import rules as rules_stage
from bridge.calibrate import read_ranges, write_ranges
from bridge.compare.cost import float_mac_share
from bridge.compare.outputs import OutputPair, candidate, compare_outputs
from bridge.compare.runners import OnnxRunner
from bridge.convert.tensor_map_file import read_tensor_map
from bridge.decisions import measured, op_precisions, with_own_errors, with_spreads
from bridge.files import digest
from bridge.rules.edit import edited
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import ConvertedModel, Ranges

EVALUATED = 64  # samples
MIN_RUNS, MAX_RUNS, BUDGET_S = 8, 60, 2.0
PRECISION = "static_wi8_ai8"
BASE = "all-int8"
SETS: Mapping[str, tuple[str, ...]] = {
    BASE: ("all-int8",),
    "default": ("default",),
    "default, transformer": ("default", "transformer"),
    **{name: (name,) for name in ("rescaling", "first-layers", "outputs", "detection-head")},
    **{f"default, {name}": ("default", name) for name in ("rescaling", "first-layers", "outputs", "detection-head")},
}


@dataclass(frozen=True)
class Prepared:
    """A model converted and calibrated, and what its files are compared with."""

    folder: Path
    model: Path
    data: Path

    @property
    def float_file(self) -> Path:
        """The file that is quantized."""
        return self.folder / f"{self.model.stem}.float32.tflite"

    @cached_property
    def fixed(self) -> dict[str, tuple[int, ...]]:
        """Sizes of inputs that have none."""
        return shapes(self.model, np.load(self.data / "calibration.npz"))

    @cached_property
    def source(self) -> bridge.types.SourceModel:
        """The user's model."""
        return frontends.load(self.model, input_shapes=self.fixed)

    @cached_property
    def normal(self) -> bridge.types.Graph:
        """The graph that rules see."""
        return graph.normalize(self.source, input_shapes=self.fixed)

    @cached_property
    def converted(self) -> ConvertedModel:
        """The float file with its tensor map."""
        return ConvertedModel(self.float_file, digest(self.float_file), read_tensor_map(self.folder / "tensor_map.json"), "")

    @cached_property
    def reference(self) -> OnnxRunner:
        """The user's model in onnxruntime."""
        return OnnxRunner(self.source.proto, intermediates=False)

    def convert(self) -> None:
        """Converts and calibrates unless that is done for the same nodes."""
        nodes, stamp = json.dumps([(node.name, node.op_type) for node in self.normal.nodes]), self.folder / "nodes.json"
        if not (self.folder / "ranges.json").exists() or not stamp.exists() or stamp.read_text() != nodes:
            calibration = self.data / "calibration.npz"
            bridge.convert(
                self.model, calibration=calibration, evaluation=calibration, output_dir=self.folder, input_shapes=self.fixed,
                rules=(BASE,), compare=False, recover=(), force=True,
            )  # fmt: skip
            (self.folder / "measured_ranges.json").unlink(missing_ok=True)
            stamp.write_text(nodes)

    @cached_property
    def measured_ranges(self) -> Ranges:
        """The ranges with all that rules may ask for, own errors as the pack `default` has them measured; made once for all sets."""
        path = self.folder / "measured_ranges.json"
        if not path.exists():
            samples = dataset(self.data / "calibration.npz", self.converted.tensor_map.inputs)
            ranges = read_ranges(self.folder / "ranges.json", model_sha256=self.converted.sha256)
            spread = with_spreads(self.converted, ranges, samples, threads=1)
            rules = rules_stage.load(("default",))
            nodes = measured(self.normal.nodes, spread, self.converted.tensor_map)
            write_ranges(path, with_own_errors(nodes, self.converted, spread, rules, samples, precision=PRECISION, threads=1))
        return read_ranges(path, model_sha256=self.converted.sha256)

    def sqnr_db(self, path: Path) -> float:
        """Of the worst output on evaluation samples, against onnxruntime; a file that gives NaN has lost everything."""
        samples = dataset(self.data / "evaluation.npz", self.converted.tensor_map.inputs)
        chosen = samples.subset(
            [position * len(samples) // EVALUATED for position in range(EVALUATED)] if len(samples) > EVALUATED else range(len(samples))
        )
        names = [spec.name for spec in Interpreter(self.float_file).outputs]
        pairs = [
            OutputPair(pair.tensor, pair.onnx_shape, names.index(str(pair.tflite_tensor)), pair.permutation)
            for pair in self.converted.tensor_map.outputs
        ]
        opened = candidate(path, self.converted.tensor_map.inputs)
        results, _ = compare_outputs(self.reference, [opened], pairs, chosen, threads=1, progress=lambda _: None)
        return min(result.sqnr_db for result in results)

    def measure(self, rule_files: Sequence[rules_stage.RuleFile], known: Sequence[Mapping[str, object]]) -> dict[str, object]:
        """One line of the table; figures of an equal file are taken from there."""
        waits = rules_stage.waits_for_measurement(rule_files, self.normal.nodes)
        ranges = self.measured_ranges if waits else read_ranges(self.folder / "ranges.json", model_sha256=self.converted.sha256)
        nodes = measured(self.normal.nodes, ranges, self.converted.tensor_map)
        decisions = rules_stage.apply(rule_files, nodes, default_precision=PRECISION, allow_idle=True).decisions
        asked = op_precisions(self.converted.tensor_map, decisions, PRECISION)
        made = quantize.quantize(self.float_file, self.folder / "trial.tflite", ranges=ranges, op_precisions=asked, precision=PRECISION)
        rules: dict[str, int] = {}
        for decision in decisions.values():
            if decision.rule is not None:
                rules[decision.rule] = rules.get(decision.rule, 0) + 1
        line: dict[str, object] = {"nodes": len(nodes), "by_rule": rules, "sha256": made.sha256}
        same = [one for one in known if one["sha256"] == made.sha256]
        if timed := next((one for one in same if "cpu_ms" in one), None):
            return line | {name: timed[name] for name in ("sqnr_db", "bytes", "float_bytes", "cpu_ms", "float_cpu_ms", "float_mac_share")}
        float_ms, ms = latencies_ms(self.float_file, made.path)
        return line | {
            "sqnr_db": same[0]["sqnr_db"] if same else round(self.sqnr_db(made.path), 2),
            "bytes": made.path.stat().st_size,
            "float_bytes": self.float_file.stat().st_size,
            "cpu_ms": round(ms, 4),
            "float_cpu_ms": round(float_ms, 4),
            "float_mac_share": round(float_mac_share(tflite.read(made.path)), 4),
        }


def latencies_ms(*paths: Path) -> tuple[float, ...]:
    """Median latency of files in ms, runs alternating: one thread, optimised kernels, its own processor time, so that other work hardly counts."""
    runners = [Interpreter(path) for path in paths]
    feeds = [{spec.name: np.zeros(tuple(int(size) for size in spec.shape), spec.dtype) for spec in runner.inputs} for runner in runners]
    times: list[list[float]] = [[] for _ in paths]
    started = time.perf_counter()
    while len(times[0]) < MIN_RUNS or (len(times[0]) < MAX_RUNS and time.perf_counter() - started < BUDGET_S):
        for runner, values, found in zip(runners, feeds, times, strict=True):
            begin = time.thread_time()
            runner.run_views(values)
            found.append((time.thread_time() - begin) * 1e3)
    return tuple(median(found[1:]) for found in times)  # the first run sets the delegate up


def without(folder: Path, pack: str, rule: str) -> Path:
    """A pack without one of its rules, as a file."""
    path = folder / f"{pack}-without-{rule}.toml"
    shipped = next(one for one in rules_stage.list_packs() if one.name == pack)
    path.write_text(edited(shipped.path.read_text(encoding="utf-8"), remove=[rule]), encoding="utf-8")
    return path


def sets(folder: Path, chosen: Sequence[str], apart: Sequence[str]) -> Iterator[tuple[str, tuple[rules_stage.RuleFile, ...]]]:
    """Name and rule files of everything that is to be measured."""
    for name in chosen or SETS:
        yield name, rules_stage.load(SETS[name])
    for pack in apart:
        before = ("default",) if pack != "default" else ()
        for rule in rules_stage.load((pack,))[0].rules:
            yield f"{', '.join((*before, pack))} without {rule.id}", rules_stage.load((*before, without(folder, pack, rule.id)))


def main() -> None:
    """Measures what is missing, prints everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("models", type=Path, nargs="*")
    parser.add_argument("--set", action="append", choices=tuple(SETS), default=[])
    parser.add_argument("--apart", action="append", choices=("default", "transformer"), default=[])
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    store = options.folder / "packs.jsonl"
    known = [json.loads(line) for line in store.read_text().splitlines()] if store.exists() else []
    for model in options.models:
        prepared = Prepared(options.folder / model.stem, model, options.data / model.stem)
        prepared.convert()
        for name, rule_files in sets(options.folder, options.set, options.apart):
            key = {
                "model": model.stem,
                "set": name,
                "float_sha256": prepared.converted.sha256,
                "rules": [rule.model_dump_json(exclude={"reason"}) for file in rule_files for rule in file.rules],
            }
            line = next((one for one in known if key.items() <= one.items() and "cpu_ms" in one), None)
            if line is None:
                line = key | prepared.measure(rule_files, [one for one in known if one["model"] == model.stem])
                known.append(line)
                with store.open("a") as file:
                    file.write(json.dumps(line) + "\n")
            sys.stdout.write(json.dumps({name: value for name, value in line.items() if name != "rules"}) + "\n")
            sys.stdout.flush()
    if options.markdown:
        text = options.markdown.read_text(encoding="utf-8") if options.markdown.exists() else ""
        options.markdown.write_text(into(text, [line for line in known if "cpu_ms" in line]), encoding="utf-8")


if __name__ == "__main__":
    main()
