"""What is done with a damaged file: the commands that a user would run, in this process."""

import contextlib
import functools
import importlib
import io
import os
import random
import shutil
import signal
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import typer.main
from fuzz_mutations import damaged
from fuzz_seeds import FRAMEWORKS, Seed, seeds

from bridge.calibrate.preprocessing import find_preprocessing
from bridge.calibrate.ranges_file import read_ranges
from bridge.cli import main
from bridge.errors import BridgeError
from bridge.frontends import hdf5_trial
from bridge.report import RENDERERS
from bridge.tflite import trial

SENTENCE_MAX = 4000  # characters of a message
KEEP = "keep.txt"

type Outcome = dict[str, object]


def made(loader: str, number: int, seed: int, folder: Path) -> tuple[Seed, bytes, random.Random]:
    """The input of a number: the same in every process."""
    chance = random.Random(f"{seed}/{loader}/{number}")
    sound = chance.choice(seeds(loader, folder))
    return sound, damaged(sound.content, sound.damage, chance), chance


def attempt(loader: str, number: int, seed: int, *, seeds_folder: Path, folder: Path) -> Outcome:
    """Writes one damaged file into an empty folder, runs its command and says how that ended."""
    sound, content, chance = made(loader, number, seed, seeds_folder)
    path = folder / f"input{sound.suffix}"
    for name, value in {path.name: content, KEEP: b"mine", **sound.beside}.items():
        (folder / name).write_bytes(value)
    before = _state(folder)
    outcome = run(lambda: COMMANDS[loader](path, sound, chance))
    shutil.rmtree(folder / "out", ignore_errors=True)
    changed = sorted(name for name, value in before.items() if _state(folder).get(name) != value)
    if changed:
        outcome = {"outcome": "overwritten", "detail": ", ".join(changed)}
    elif left := sorted(set(_state(folder)) - set(before)):
        outcome = {"outcome": "left behind", "detail": ", ".join(left)}
    return outcome | {"seed": sound.name}


def run(command: Callable[[], None]) -> Outcome:
    """How a command ends: accepted, refused with its exit code and a sentence, or in a way that no user may see."""
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            command()
        code: object = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BridgeError as error:  # of a loader that was called without the command line
        code = error.exit_code
        err.write(f"error: {error.message}\n")
    except BaseException as error:  # noqa: BLE001  # what the fuzzer looks for
        frames = traceback.extract_tb(error.__traceback__)
        place = next((frame for frame in reversed(frames) if "/bridge/" in frame.filename), frames[-1])
        text = "".join(traceback.format_exception(error))[-3000:]
        return {"outcome": "traceback", "detail": f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}", "text": text}
    if code == 0 or (code == 5 and "error: " not in err.getvalue()):
        return {"outcome": "accepted"}
    said = err.getvalue() or out.getvalue()  # `rules check` prints what it finds
    if fault := _fault(code, said):
        return {"outcome": "bad message", "detail": fault, "text": said[-2000:]}
    return {"outcome": f"refused with {code}", "said": said.split("\n")[0][:200]}


def _fault(code: object, text: str) -> str:
    """What is wrong with a refusal."""
    if code not in (2, 3, 4):
        return f"exit code {code}"
    message = next((line for line in text.splitlines() if line.startswith("error: ")), "")
    if len(message) < 12:
        return "no sentence"
    if len(text) > SENTENCE_MAX:
        return "a very long message"
    hidden = next((sign for sign in text if sign != "\n" and not sign.isprintable()), "")
    return f"an unprintable sign {hidden!r}" if hidden else ""


def _state(folder: Path) -> Mapping[str, object]:
    return {str(path.relative_to(folder)): (path.read_bytes() if path.is_file() else b"") for path in sorted(folder.rglob("*"))}


def _onnx(path: Path, _sound: Seed, _chance: random.Random) -> None:
    main(["inspect", str(path)])


def _tflite(path: Path, _sound: Seed, chance: random.Random) -> None:
    command = chance.choice(("inspect", "compare", "convert"))
    if command == "inspect":
        main(["inspect", str(path)])
    elif command == "convert":
        main(["convert", str(path), "--no-compare", "--threads", "1", "-o", str(path.parent / "out")])
    else:
        main(["compare", str(path.parent / "float.tflite"), str(path), "--data", str(path.parent / "data.npz"), "--threads", "1"])


def _arrays(path: Path, _sound: Seed, _chance: random.Random) -> None:
    target = path.parent / "out" / "trace.npz"
    target.parent.mkdir()
    main(["trace", str(path.parent / "model.onnx"), "--data", str(path), "-o", str(target), "--threads", "1"])


def _rules(path: Path, _sound: Seed, _chance: random.Random) -> None:
    main(["rules", "check", str(path), "--model", str(path.parent / "model.onnx")])


def _report(path: Path, _sound: Seed, chance: random.Random) -> None:
    command = chance.choice(("render", "render", "gate", "diff"))
    if command == "render":
        form = chance.choice([name for name in RENDERERS if name != "parquet"])
        main(["report", "render", str(path), "--format", form])
    elif command == "gate":
        main(["report", "gate", str(path), "--gate", "sqnr>=1", "--baseline", str(path)])
    else:
        main(["report", "diff", str(path), str(path), "--format", chance.choice(("text", "markdown", "html", "json"))])


def _notes(path: Path, sound: Seed, _chance: random.Random) -> None:
    folder = path.parent
    if sound.name == "ranges":
        read_ranges(path, model_sha256="0" * 64)
    elif sound.name == "preprocessing":
        find_preprocessing(path)
    elif sound.name == "tensor_map":
        files = [str(folder / "float.tflite")] * 2
        main(["compare", *files, "--data", str(folder / "data.npz"), "--tensor-map", str(path), "--threads", "1"])
    else:
        os.chdir(folder)
        path.rename("bridge.toml")
        try:
            main(["inspect", "model.onnx"])
        finally:
            Path("bridge.toml").rename(path)
            os.chdir("/")


def _framework(path: Path, _sound: Seed, _chance: random.Random) -> None:
    main(["inspect", str(path), *(["--input", "input=2x1x6x6"] if path.suffix == ".pt" else [])])


class ForkedTrial:
    """In place of a new Python: the same function in a fork."""

    def __init__(self, path: Path) -> None:
        self.pid = os.fork()
        if self.pid == 0:
            signal.alarm(int(trial.TIMEOUT_S))
            code = 1
            with contextlib.suppress(BaseException):
                trial.run(path)
                code = 0
            os._exit(code)
        self.code: int | None = None

    def wait(self, _timeout: float = 0.0) -> int:
        if self.code is None:
            self.code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.code

    def kill(self) -> None:
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)


def warm_up(folder: Path, loaders: Iterable[str]) -> None:
    """Loads what the commands load, and makes the seeds; the tree of commands is built once, which takes half of the time of most inputs."""
    typer.main.get_command = functools.cache(typer.main.get_command)
    trial._start = ForkedTrial  # type: ignore[assignment]
    trial.TIMEOUT_S = 10.0
    hdf5_trial.TIMEOUT_S = 5.0
    for framework in set(loaders) & set(FRAMEWORKS):  # only loaded: once it has computed anything, it has threads
        importlib.import_module(f"bridge.frontends.{FRAMEWORKS[framework]}")
    for loader in set(loaders) - set(FRAMEWORKS):
        command = COMMANDS[loader]
        for sound in {sound.suffix: sound for sound in seeds(loader, folder)}.values():
            path = folder / f"input{sound.suffix}"
            for name, value in {path.name: sound.content, **sound.beside}.items():
                (folder / name).write_bytes(value)
            for number in range(3):
                run(functools.partial(command, path, sound, random.Random(number)))
                shutil.rmtree(folder / "out", ignore_errors=True)


COMMANDS: Mapping[str, Callable[[Path, Seed, random.Random], None]] = {
    "onnx": _onnx,
    "tflite": _tflite,
    "arrays": _arrays,
    "rules": _rules,
    "report": _report,
    "notes": _notes,
    "keras": _framework,
    "torch": _framework,
}
