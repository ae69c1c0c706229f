"""A module of ours in a process of its own: what a native library does there to a damaged file, crash or never end, does not reach the caller."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import psutil

_PACKAGE_PARENT = str(Path(__file__).resolve().parents[1])


def started(module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    """`python -m module arguments`, without a terminal. `-P`: a folder with a model may hold a numpy.py as well."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (_PACKAGE_PARENT, os.environ.get("PYTHONPATH"))))}
    return subprocess.Popen(
        (sys.executable, "-P", "-m", module, *arguments),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


def limit_this() -> None:
    """This process gets no more memory than the machine has, and leaves no core file."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = min(psutil.virtual_memory().total, hard if hard != resource.RLIM_INFINITY else sys.maxsize)
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
