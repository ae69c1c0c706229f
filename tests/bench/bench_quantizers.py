"""This project's int8 files against those of AI Edge Quantizer, TFLiteConverter and onnx2tf -oiqt: same float source, data and evaluation.

    uv run python tests/bench/bench_quantizers.py models/digits_vit ...          folders with a model, calibration.npz and evaluation.npz
    uv run python tests/bench/bench_quantizers.py --shared ../shared/models      all models of a folder with a samples.py, or --models a,b
    ... --tools aeq,ours --markdown table.md --cache ~/.cache/bridge-bench

Prints JSON. Every tool but ours runs in an environment of its own, made on demand with uv; the pins stand in bench_quantizers_tools.py. What was
computed once (per model, tool, settings, version of the tool, for ours the digest of its sources) is taken from the cache, so a run that
was stopped goes on where it was.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path

from bench_quantizers_source import Source, Subject, code_digest, prepare, subject_in
from bench_quantizers_table import best, markdown
from bench_quantizers_tools import HERE, TOOLS, Made, environment, run
from msgspec import structs

from bridge.files import digest

Row = dict[str, object]


def exported(shared: Path, names: Sequence[str], cache: Path) -> list[Subject]:
    """The models of a folder with a `samples.py`, their samples written into the cache."""
    python, found = environment(cache, "score"), []
    for name in names or sorted(path.stem for path in (shared / "models").glob("*.onnx")):
        folder = cache / "samples" / name
        if not (folder / "evaluation.npz").is_file():
            subprocess.run([python, HERE / "bench_quantizers_in_score.py", shared, "export", name, folder], check=True)
        found.append(Subject(name, shared / "models" / f"{name}.onnx", folder / "calibration.npz", folder / "evaluation.npz"))
    return found


def measure(subject: Subject, tools: Sequence[str], cache: Path, shared: Path | None, *, latency: bool) -> Row:
    """Rows of all tools for one model."""
    source = prepare(subject, cache / "sources")
    made = [one for name in tools for one in made_by(name, source, cache)]
    answers = evaluate_all([one for one in made if one.file is not None], source, cache, shared)
    rows = [{**asdict(one), **answers.get(str(one.file), {})} for one in made]
    if latency:
        add_latencies(rows, source, cache)
    return {"model": subject.name, "float_bytes": source.float_file.stat().st_size, "rows": [_plain(row) for row in rows]}


def made_by(name: str, source: Source, cache: Path) -> list[Made]:
    """The files of a tool, from the cache if it has them."""
    tool = TOOLS[name]
    folder = cache / "files" / source.subject.name / f"{name}-{source.digest}-{tool.version}"
    record = folder / "made.json"
    if not record.is_file():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made = tool.run(source, folder, cache)
        record.write_text(json.dumps([asdict(one) for one in made], default=str, indent=1))
    return [
        Made(**{**one, "file": one["file"] and Path(one["file"]), "float_file": one["float_file"] and Path(one["float_file"])})
        for one in json.loads(record.read_text())
    ]


def evaluate_all(made: Sequence[Made], source: Source, cache: Path, shared: Path | None) -> dict[str, Row]:
    """Errors, size and score of every file, or why it does not run; a file that ends the process costs only itself."""
    folder = cache / "results"
    folder.mkdir(parents=True, exist_ok=True)
    answers = {str(one.file): folder / f"{source.subject.name}-{_file_key(one, source)}.json" for one in made}
    while waiting := [one for one in made if not answers[str(one.file)].is_file()]:
        files = [
            {
                "file": str(one.file),
                "float": str(one.float_file or source.float_file),
                "common": one.float_file is None or one.tool == "bridge",
                "answer": str(answers[str(one.file)]),
                "outputs": str(answers[str(one.file)].with_suffix(".outputs.npz")),
            }
            for one in waiting
        ]
        common = {"model": str(source.subject.model), "evaluation": str(source.subject.evaluation), "reference": str(source.reference)}
        shapes = {"input_shapes": source.input_shapes, "inputs": [structs.asdict(binding) for binding in source.inputs]}
        failure, current = _evaluate({**common, **shapes, "files": files}, cache)
        if failure:
            answers[current].write_text(json.dumps({"error": f"the file does not run: {failure}"}))
        if shared is not None:
            _add_scores([answers[str(one.file)] for one in waiting], shared, source, cache)
    return {name: json.loads(path.read_text()) for name, path in answers.items()}


def _file_key(one: Made, source: Source) -> str:
    assert one.file is not None
    return _key(digest(one.file), digest(one.float_file or source.float_file), digest(source.subject.evaluation), _code())


def _add_scores(answers: Sequence[Path], shared: Path, source: Source, cache: Path) -> None:
    """The task score beside the errors; the outputs are no longer needed then."""
    scored = [path for path in dict.fromkeys(answers) if path.with_suffix(".outputs.npz").is_file() and path.is_file()]
    if not scored:
        return
    command: list[str | Path] = [
        environment(cache, "score"),
        HERE / "bench_quantizers_in_score.py",
        shared,
        "score",
        source.subject.name,
        source.reference,
    ]
    outputs = [path.with_suffix(".outputs.npz") for path in scored]
    found = json.loads(subprocess.run([*command, source.reference, *outputs], check=True, capture_output=True).stdout)
    for path, score in zip(scored, found["scores"][1:], strict=True):
        extra = {"metric": found["metric"], "score": score, "float_score": found["scores"][0]}
        path.write_text(json.dumps({**json.loads(path.read_text()), **extra}))
        path.with_suffix(".outputs.npz").unlink()


def add_latencies(rows: list[Row], source: Source, cache: Path) -> None:
    """Latency of each tool's best file and of the float file, measured in one go."""
    running = [row for tool in TOOLS.values() if (row := best([one for one in rows if one["tool"] == tool.name])) is not None]
    files = [str(source.float_file), *(str(row["file"]) for row in running)]
    answer = cache / "results" / f"latency-{_key(*(digest(Path(file)) for file in files))}.json"
    if not answer.is_file():
        failure, _ = _evaluate({"latency": files, "samples": str(source.samples), "answer": str(answer)}, cache)
        if failure:
            return
    float_ms, *times = json.loads(answer.read_text())
    for row, ms in zip(running, times, strict=True):
        row.update(ms=ms, float_ms=float_ms)


def _evaluate(job: Row, cache: Path) -> tuple[str, str]:
    """How the process failed, empty if it did not, and the file that it was at."""
    with tempfile.TemporaryDirectory(dir=cache / "results") as name:
        folder = Path(name)
        current = folder / "current"
        (folder / "job.json").write_text(json.dumps({**job, "current": str(current)}))
        failure = run([sys.executable, HERE / "bench_quantizers_evaluate.py", folder / "job.json"], folder / "log")
        return failure, current.read_text() if current.is_file() else ""


def _code() -> str:
    return sha256((HERE / "bench_quantizers_evaluate.py").read_bytes()).hexdigest()


def _key(*parts: str) -> str:
    return sha256("".join(parts).encode()).hexdigest()[:16]


def _plain(row: Row) -> Row:
    return {name: str(value) if isinstance(value, Path) else value for name, value in row.items()}


def main() -> None:
    """Reads the arguments, measures model by model, prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path)
    parser.add_argument("--shared", type=Path)
    parser.add_argument("--models", default="", help="names for --shared, separated by commas")
    parser.add_argument("--tools", default=",".join(TOOLS), help="separated by commas")
    parser.add_argument("--cache", type=Path, default=Path("~/.cache/bridge-bench"))
    parser.add_argument("--no-latency", action="store_true", help="leave latencies out: on a machine that does other things they say little")
    parser.add_argument("--markdown", type=Path, help="also write a table")
    options = parser.parse_args()
    cache = options.cache.expanduser()
    subjects = [subject_in(folder) for folder in options.folders]
    if options.shared is not None:
        subjects += exported(options.shared, [name for name in options.models.split(",") if name], cache)
    results = []
    for subject in subjects:
        sys.stderr.write(f"{subject.name}\n")
        results.append(measure(subject, options.tools.split(","), cache, options.shared, latency=not options.no_latency))
    document = {"revision": code_digest("bridge", "exclusion_rules"), "models": results}
    if options.markdown is not None:
        options.markdown.write_text(markdown(document))
    json.dump(document, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
