"""The metrics that the user asks for: names of built-in ones, `module:function`, functions."""

import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from bridge.errors import UsageError
from bridge.plugins import find_function
from bridge.task_metrics.classification import Auc, TopK
from bridge.task_metrics.embeddings import Cosine, Spearman
from bridge.task_metrics.metric import Function, Score, TaskMetric, from_function
from bridge.task_metrics.pictures import Psnr, Ssim
from bridge.task_metrics.segmentation import MeanIou

type AnyMetric = str | Function | TaskMetric  # what a user may give

NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)  # what a gate can spell
SPEC = re.compile(r"(?:(?P<alias>[A-Za-z_]\w*)=)?(?P<what>.+)", re.ASCII | re.DOTALL)
ABOUT = "A metric takes the reference's outputs, the candidate's and the truth of one sample, and returns a number."


class BuiltIn(Struct, frozen=True):
    """How the score of an output begins, whether it needs the truth, its unit."""

    start: Callable[[str], Score]
    needs_truth: bool = True
    unit: str = ""


BUILT_IN: Mapping[str, BuiltIn] = MappingProxyType(
    {
        "top1": BuiltIn(lambda output: TopK(output, 1)),
        "top5": BuiltIn(lambda output: TopK(output, 5)),
        "auc": BuiltIn(Auc),
        "mean_iou": BuiltIn(MeanIou),
        "psnr": BuiltIn(Psnr, unit="dB"),
        "ssim": BuiltIn(Ssim),
        "cosine": BuiltIn(Cosine, needs_truth=False),
        "spearman": BuiltIn(Spearman),
    }
)


def metric_names(metrics: Sequence[AnyMetric]) -> tuple[str, ...]:
    """What the metrics are called, before any module is loaded.

    Raises:
        UsageError: a metric that cannot be, or two of one name.
    """
    names = tuple(_name(one) for one in metrics)
    for name in names:
        if not NAME.fullmatch(name):
            raise UsageError(
                f"A metric has a name of letters, digits and underscores. Received: {name[:80]!r}.", hint="Write it as NAME=module:function."
            )
        if names.count(name) > 1:
            raise UsageError(f"Two metrics are called {name!r}.", hint=f"Give one of them another name: other_{name}=...")
    return names


def check_metrics(metrics: Sequence[AnyMetric], *, asked: Sequence[str], compares: bool) -> None:
    """Refuses what cannot work, before any work is done.

    Args:
        metrics: as the user gave them.
        asked: names that gates ask for.
        compares: whether anything is compared.

    Raises:
        UsageError: names the metric or the gate.
    """
    names = metric_names(metrics)
    if names and not compares:
        raise UsageError(f"Metric {names[0]} is measured while both models are compared, and nothing is.", hint="Leave out --no-compare.")
    for name in asked:
        if name not in names:
            raise UsageError(
                f"A gate asks for the metric {name!r}, which is not measured.", hint=f"Add --metric {name}, or --metric {name}=module:function."
            )


def find_metrics(metrics: Sequence[AnyMetric], outputs: Sequence[str]) -> tuple[TaskMetric, ...]:
    """The metrics, ready to measure.

    Args:
        metrics: `top1`, `top1@scores` for one of several outputs, `module:function`, `file.py:function`, each with another name as `NAME=...`; functions
            `(reference, candidate, truth) -> number`; or what is ready already.
        outputs: names of the model's outputs.

    Raises:
        UsageError: nothing is called so, or it is not said which output is meant.
        InputError: a module or function that cannot be loaded.
    """
    return tuple(_find(one, name, outputs) for one, name in zip(metrics, metric_names(metrics), strict=True))


def _name(one: AnyMetric) -> str:
    if isinstance(one, TaskMetric):
        return one.name
    if not isinstance(one, str):
        return str(getattr(one, "__name__", "metric"))
    alias, what = _split(one)
    return alias or (what.rpartition(":")[2].rpartition(".")[2] if ":" in what else what.partition("@")[0])


def _split(text: str) -> tuple[str, str]:
    match = SPEC.fullmatch(text)
    return (match["alias"] or "", match["what"]) if match else ("", text)


def _find(one: AnyMetric, name: str, outputs: Sequence[str]) -> TaskMetric:
    if isinstance(one, TaskMetric):
        return one
    if not isinstance(one, str):
        return from_function(name, one)
    what = _split(one)[1]
    kind, _, output = what.partition("@")
    if kind in BUILT_IN:
        return _built_in(name, kind, output, outputs)
    if ":" not in what:
        raise UsageError(f"There is no metric {what[:80]!r}.", hint=f"Built in: {', '.join(BUILT_IN)}; your own as module:function.")
    return from_function(name, find_function(what, about=ABOUT))


def _built_in(name: str, kind: str, output: str, outputs: Sequence[str]) -> TaskMetric:
    if not output and len(outputs) == 1:
        output = outputs[0]
    if output not in outputs:
        said = f"has no output {output!r}" if output else f"has {len(outputs)} outputs"
        listed = ", ".join(f"{kind}@{one}" for one in outputs)
        raise UsageError(f"Metric {name}: the model {said}.", hint=f"One of: {listed[:1000]}.")
    built_in = BUILT_IN[kind]
    return TaskMetric(name, lambda: built_in.start(output), "higher", built_in.unit, built_in.needs_truth, output)
