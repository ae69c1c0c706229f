"""What the changes that rules make cost by themselves, in float: each alone and all together, from the user's model with a switch for each."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from bridge.compare.metrics import ErrorSums, sqnr_db
from bridge.compare.runners import OnnxRunner
from bridge.compare.samples import Samples, spread
from bridge.types import Change, ChangeEffect, ChangeEffects


def measure_effects(
    changed: OnnxRunner,
    changes: Sequence[Change],
    switches: Sequence[tuple[str, str, str]],
    samples: Samples,
    *,
    count: int,
    threads: int,
) -> ChangeEffects:
    """Runs the model with no change, with each one and with all, on a few samples.

    Args:
        changed: the user's model with switches.
        changes: in the order of their switches.
        switches: of each change the boolean input that turns it on, the tensor before it and the tensor after it.
        samples: evaluation data.
        count: at most so many, spread evenly.
        threads: of one run.

    Raises:
        ToolError: the model does not run.
    """
    names = [name for name, _, _ in switches]
    shown = tuple(dict.fromkeys(tensor for _, before, after in switches for tensor in (before, after)))
    inputs = {spec.name for spec in changed.inputs}
    quick = changed.outputs_only(threads=threads)
    chosen = spread(len(samples), count)
    local = [ErrorSums() for _ in changes]
    alone = [{name: ErrorSums() for name in changed.outputs} for _ in changes]
    together = {name: ErrorSums() for name in changed.outputs}
    for position in chosen:
        sample = samples[position]
        values = changed.run({**sample, **_switched(names)}, [name for name in shown if name not in inputs])
        for sums, (_, before, after) in zip(local, switches, strict=True):
            sums.add(values[before] if before in values else sample[before], values[after])
        expected = quick.run({**sample, **_switched(names)})
        for outputs, name in zip(alone, names, strict=True):
            _add(outputs, expected, quick.run({**sample, **_switched(names, name)}))
        _add(together, expected, quick.run({**sample, **_switched(names, *names)}))
    each = (ChangeEffect(change, sqnr_db(sums), _measured(outputs)) for change, sums, outputs in zip(changes, local, alone, strict=True))
    return ChangeEffects(tuple(each), _measured(together), len(chosen))


def _switched(names: Sequence[str], *on: str) -> Mapping[str, np.ndarray]:
    return {name: np.array(name in on) for name in names}


def _add(sums: Mapping[str, ErrorSums], expected: Mapping[str, np.ndarray], received: Mapping[str, np.ndarray]) -> None:
    for name, sum_of in sums.items():
        sum_of.add(expected[name], received[name])


def _measured(sums: Mapping[str, ErrorSums]) -> Mapping[str, float]:
    return MappingProxyType({name: sqnr_db(sum_of) for name, sum_of in sums.items()})
