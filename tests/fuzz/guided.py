"""`uv run --group fuzz python tests/fuzz/guided.py onnx CORPUS -max_total_time=120`: atheris keeps the damage that reaches new lines of ours.

The folder CORPUS takes what is kept; it starts with the fuzzer's sound files. What stands behind it is for libFuzzer. The run ends at the first input
that ends in a traceback, a bad message, a crash or a hang, and says which file holds it.
"""

import os
import random
import sys
import tempfile
import zlib
from pathlib import Path

import atheris

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # a process with threads is no process to fork
with atheris.instrument_imports(include=["bridge"]):
    from fuzz_mutations import damaged
    from fuzz_seeds import Seed, seeds
    from fuzz_targets import COMMANDS, run, warm_up

LOADERS = ("onnx", "tflite", "rules", "arrays")
LIMITS = ("-timeout=20", "-rss_limit_mb=4096", "-print_final_stats=1")
BAD = ("traceback", "bad message")


def main() -> None:
    """Fuzzes until libFuzzer is told to stop."""
    if len(sys.argv) < 3 or sys.argv[1] not in LOADERS:
        sys.exit(f"usage: guided.py {{{','.join(LOADERS)}}} CORPUS [OPTION OF LIBFUZZER]...")
    loader, corpus, folder = sys.argv[1], Path(sys.argv[2]), Path(tempfile.mkdtemp())
    with atheris.instrument_imports(include=["bridge"]):  # the commands import where they start
        warm_up(folder, [loader])
    sound = seeds(loader, folder)
    corpus.mkdir(parents=True, exist_ok=True)
    for place, seed in enumerate(sound):
        (corpus / f"sound-{place}").write_bytes(seed.content)

    def changed(content: bytes, max_size: int, number: int) -> bytes:
        chance = random.Random(number)
        if chance.random() < 0.5:
            try:
                return damaged(content, _like(content, sound).damage, chance)[:max_size]
            except Exception:  # noqa: BLE001  # damaged before, so that its parts cannot be told
                pass
        return bytes(atheris.Mutate(content, max_size))

    def one(content: bytes) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _try(loader, content, _like(content, sound), Path(place))

    atheris.Setup([sys.argv[0], *LIMITS, *sys.argv[3:], str(corpus)], one, custom_mutator=changed)
    atheris.Fuzz()


def _like(content: bytes, sound: list[Seed]) -> Seed:
    """The first sound file that begins like this one; it has the suffix, and what lies beside."""
    return next((seed for seed in sound if seed.content[:2] == content[:2]), sound[0])


def _try(loader: str, content: bytes, like: Seed, folder: Path) -> None:
    path = folder / f"input{like.suffix}"
    for name, value in {path.name: content, **like.beside}.items():
        (folder / name).write_bytes(value)
    outcome = run(lambda: COMMANDS[loader](path, like, random.Random(zlib.crc32(content))))
    if outcome["outcome"] in BAD:
        raise RuntimeError("\n".join(map(str, outcome.values())))


if __name__ == "__main__":
    main()
