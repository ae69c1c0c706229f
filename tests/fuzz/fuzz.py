"""Counts how damaged files end, loader by loader."""

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fuzz_targets import Outcome, attempt, made, warm_up
from fuzz_workers import Job, run_all

# Of 100 inputs: most where the formats are rich and the code behind them is long.
SHARES = {"onnx": 36, "tflite": 28, "arrays": 12, "rules": 10, "report": 8, "notes": 6}
SHARES_OF_FRAMEWORKS = {"keras": 50, "torch": 50}  # only on demand, since they need extras, and up to a second an input
GOOD = ("accepted", "refused with 2", "refused with 3", "refused with 4")
EXAMPLES = 40


def fuzz(options: argparse.Namespace, folder: Path) -> tuple[dict[str, dict[str, int]], list[Outcome], dict[str, float]]:
    """Counts by loader and outcome, what ended badly (each kind once with its number), and the slowest input of each loader."""
    seeds_folder = folder / "seeds"
    seeds_folder.mkdir()
    warm_up(seeds_folder, options.loaders)

    def one(job: Job, place: Path) -> Outcome:
        return attempt(*job, options.seed, seeds_folder=seeds_folder, folder=place)

    counts: dict[str, Counter[str]] = {loader: Counter() for loader in options.loaders}
    slowest: dict[str, float] = {}
    kinds: dict[tuple[str, str, str], Outcome] = {}
    limits = {"workers": options.workers, "seconds": options.seconds, "memory_mb": options.memory_mb}
    for (loader, number), outcome, seconds in run_all(_jobs(options), one, folder=folder, **limits):
        end = str(outcome["outcome"])
        counts[loader][end] += 1
        slowest[loader] = max(slowest.get(loader, 0.0), round(seconds, 2))
        if end in GOOD:
            continue
        seed, content, _ = made(loader, number, options.seed, seeds_folder)
        if options.keep is not None:
            options.keep.mkdir(parents=True, exist_ok=True)
            (options.keep / f"{loader}-{number}{seed.suffix}").write_bytes(content)
        kind = kinds.setdefault((loader, end, str(outcome.get("detail", ""))), {"loader": loader, **outcome, "seed": seed.name, "numbers": []})
        numbers = kind["numbers"]
        assert isinstance(numbers, list)
        numbers.append(number)
    return {loader: dict(sorted(found.items())) for loader, found in counts.items()}, list(kinds.values())[:EXAMPLES], slowest


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    """The loaders in turn, each as often as its share of all says."""
    shares = {loader: (SHARES | SHARES_OF_FRAMEWORKS)[loader] for loader in options.loaders}
    for loader, share in shares.items():
        yield from ((loader, options.first + place) for place in range(max(1, options.inputs * share // sum(shares.values()))))
