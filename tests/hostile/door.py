"""The user's own door with a bad file in hand: how it ends, what it says, what it leaves alone."""

import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.cli import main

MEMORY_MB = 6 << 10  # of a process of its own; what it loads maps about 2 GB
TIMEOUT_S = 60.0

type Refused = Callable[..., str]


def state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def code_of(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def check_sentence(text: str) -> str:
    """What a refusal prints is one sentence, and what helps."""
    assert "Traceback" not in text
    (said,) = (line for line in text.splitlines() if line.startswith("error: "))
    assert len(said) < 1500
    assert all(sign.isprintable() or sign == "\n" for sign in text)
    return said


def alone(*arguments: object, cwd: Path | None = None) -> tuple[int, str]:
    """Exit code and stderr of a process of its own with bounded memory and time."""

    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_MB << 20, MEMORY_MB << 20))

    done = subprocess.run(
        [sys.executable, "-m", "bridge", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        preexec_fn=bound,
        cwd=cwd,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.fixture(name="refused")
def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a command that has to end with 2 or 3, in one sentence, and leave every file as it was; returns the sentence."""

    def run(*arguments: object) -> str:
        before = state(tmp_path)
        code = code_of(*arguments)
        text = capsys.readouterr().err
        assert code in (2, 3), text
        assert state(tmp_path) == before
        return check_sentence(text)

    return run
