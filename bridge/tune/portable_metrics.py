"""Task metrics that other processes can find: by name. A live function that no name leads to works in its own process only."""

import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from bridge.errors import UsageError
from bridge.files import digest
from bridge.plugins import find_function
from bridge.task_metrics import AnyMetric, TaskMetric
from bridge.task_metrics.find import metric_names


@dataclass(frozen=True, slots=True)
class PortableMetrics:
    """Metrics as text.

    Attributes:
        spelled: for each metric what `find_metrics` takes; empty where no name leads to it.
        names: what they are called.
        digest: identity of them and of the files that the user's functions are in; for a function without a name another one each time, since
            nobody can tell whether it is the same.
    """

    spelled: tuple[str, ...]
    names: tuple[str, ...]
    digest: str

    def found(self, live: Sequence[AnyMetric] | None) -> Sequence[AnyMetric]:
        """What `find_metrics` takes; `live` are the metrics themselves where this is the process that has them.

        Raises:
            UsageError: a metric that this process cannot get.
        """
        if live is not None:
            return live
        lost = next((name for name, text in zip(self.names, self.spelled, strict=True) if not text), None)
        if lost is not None:
            raise UsageError(
                f"Metric {lost} is a live object that other processes cannot find by a name.",
                hint="Give it as module:function, or measure in one process (workers=1).",
            )
        return self.spelled


def portable(metrics: Sequence[AnyMetric]) -> PortableMetrics:
    """The metrics as text.

    Raises:
        InputError: a module or function that cannot be loaded.
    """
    names = metric_names(metrics)
    spelled = tuple(_spelled(one, name) for one, name in zip(metrics, names, strict=True))
    total = sha256(repr((names, spelled)).encode())
    for text in spelled:
        total.update((uuid.uuid4().hex if not text else _code_digest(text.partition("=")[2] or text)).encode())
    return PortableMetrics(spelled, names, total.hexdigest())


def _spelled(one: AnyMetric, name: str) -> str:
    if isinstance(one, str):
        what = one.rpartition("=")[2]
        path, _, function = what.rpartition(":")
        return f"{name}={Path(path).resolve()}:{function}" if path.endswith(".py") else one
    if isinstance(one, TaskMetric):
        return ""
    module, place = getattr(one, "__module__", "") or "", getattr(one, "__qualname__", "")
    found: object = sys.modules.get(module) if module != "__main__" else None
    for part in place.split("."):
        found = getattr(found, part, None)
    return f"{name}={module}:{place}" if found is one else ""


def _code_digest(what: str) -> str:
    """sha256 of the file of a user's function; empty for a built-in metric."""
    if ":" not in what:
        return ""
    function = find_function(what)
    file = getattr(sys.modules.get(function.__module__), "__file__", None) or what.rpartition(":")[0]
    return digest(Path(file)) if Path(file).is_file() else ""
