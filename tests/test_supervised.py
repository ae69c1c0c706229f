"""The command line survives what ends its process: a crash of a library is a sentence and an exit code."""

import signal
import subprocess
import sys

import pytest

RUN = "import os, signal, sys\nfrom bridge.supervised import supervised\nfrom bridge.errors import ToolError\n"
ENDED = "try:\n    supervised(command)\nexcept ToolError as error:\n    sys.exit(f'{error.message} {error.exit_code}')\n"


def run(command: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", f"{RUN}def command():\n    {command}\n{ENDED}"], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGKILL])
def test_a_crash_is_a_sentence(number: signal.Signals) -> None:
    done = run(f"os.kill(os.getpid(), {int(number)})")
    assert done.returncode == 1
    assert number.name in done.stderr
    assert done.stderr.rstrip().endswith(" 4")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("code", [0, 2, 5, 130])
def test_an_exit_code_is_handed_on(code: int) -> None:
    assert run(f"raise SystemExit({code})").returncode == code


def test_a_parent_that_is_killed_takes_the_child_along() -> None:
    done = run("os.kill(os.getppid(), signal.SIGKILL); import time; time.sleep(30); print('alive', flush=True)")
    assert done.returncode == -signal.SIGKILL
    assert "alive" not in done.stdout  # reading ended, so nobody holds the pipe


def test_who_asks_twice_ends_a_command_that_hears_nothing() -> None:
    twice = "[(os.kill(os.getppid(), signal.SIGTERM), time.sleep(0.2)) for _ in range(2)]"
    done = run(f"import time; signal.signal(signal.SIGTERM, signal.SIG_IGN); {twice}; time.sleep(30); print('alive', flush=True)")
    assert (done.returncode, done.stdout) == (128 + signal.SIGKILL, "")


@pytest.mark.parametrize("left", ["", "threading.Timer(0.2, lambda: print('and a thread', end=' ')).start(); "])
def test_what_was_printed_and_what_is_for_the_end_comes_out(left: str) -> None:
    done = run(f"import atexit, threading; atexit.register(print, 'at the end', end=' '); print('said', end=' '); {left}sys.exit(3)")
    assert done.returncode == 3
    assert sorted(done.stdout.split()) == sorted(f"said at the end {'and a thread' if left else ''}".split())


def test_an_exit_with_a_sentence_is_one_with_code_1() -> None:
    done = run("sys.exit('the sentence')")
    assert (done.returncode, done.stderr) == (1, "the sentence\n")
