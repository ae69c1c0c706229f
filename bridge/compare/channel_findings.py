"""What the use of the integers says about layers: channels that are dead, lost or cut off, and outliers."""

from collections.abc import Iterator, Sequence

from bridge.compare import metrics
from bridge.compare.forms import Form
from bridge.compare.rows import Row
from bridge.types import Diagnostic

LEAST_SAMPLES = 4  # with fewer a channel may well rest
NAMED = 3
DEAD_SHARE = 0.25  # of the channels of a layer; a few die in most networks

# Of the channels that live in the float file. Softmax over many classes aside, layers of 17 trained models stay below 0.2, but for one: the product of two
# gates of an LSTM (DTLN) loses 83 of 128 channels, and that node alone in float takes the output from 17.8 to 33.2 dB.
LOST_SHARE = 0.5
SATURATED_SHARE = 0.5  # of the values of a channel; none of those models has such a channel
OUTLIER_STEPS, USED_STEPS, OUTLIER_DB = 16, 128, 20.0  # nearly all values within 4 of the 8 bits that the rest takes, and the layer loses by it
PROBABILITIES = Form(1.0 / 256, -128)  # of a Softmax: small ones round to 0, as they should

KEEP = "Keep the node float by a rule, or give it 16-bit activations."


def channel_findings(rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    """Findings about the integer tensors that were measured."""
    measured = [row for row in rows if row.form is not None and row.usage.samples >= LEAST_SAMPLES]
    return (*_dead(measured), *_first(_lost(measured)), *_first(_saturated(measured)), *_first(_outliers(measured)))


def _first(found: Iterator[Diagnostic]) -> tuple[Diagnostic, ...]:
    """The first few in graph order: later ones often only follow."""
    return tuple(finding for _, finding in zip(range(NAMED), found, strict=False))


def _dead(rows: Sequence[Row]) -> tuple[Diagnostic, ...]:
    layers = {
        row.pair.node: (row.usage.dead(), row.usage.channels) for row in rows if row.usage.channels and metrics.sqnr_db(row.own_sums) < float("inf")
    }
    layers = {node: (dead, count) for node, (dead, count) in layers.items() if dead >= DEAD_SHARE * count}
    if not layers:
        return ()
    worst = sorted(layers, key=lambda node: -layers[node][0] / layers[node][1])
    more = f" and {len(worst) - NAMED} more" if len(worst) > NAMED else ""
    named = ", ".join(f"{node!r} ({layers[node][0]} of {layers[node][1]})" for node in worst[:NAMED])
    message = f"Channels of {len(layers)} layer{'s' if len(layers) > 1 else ''} have one and the same value in the float model, for all {rows[0].usage.samples} samples: {named}{more}."
    hint = "Nothing is lost by them. If the samples are of all kinds, a smaller network would do."
    return (Diagnostic("dead-channels", "info", message, hint, worst[0]),)


def _lost(rows: Sequence[Row]) -> Iterator[Diagnostic]:
    for row in rows:
        alive = row.usage.channels - row.usage.dead()
        lost = row.usage.lost()
        if row.form != PROBABILITIES and alive and lost >= LOST_SHARE * alive:
            message = (
                f"{lost} of {alive} channels of {row.pair.node!r} are constant in the quantized file, for all {row.usage.samples} samples: "
                f"their values differ by less than the step of the tensor, {row.form.scale if row.form else 0:.3g}."
            )
            yield Diagnostic("lost-channels", "warning", message, KEEP, row.pair.node)


def _saturated(rows: Sequence[Row]) -> Iterator[Diagnostic]:
    for row in rows:
        saturated = row.usage.saturated(SATURATED_SHARE)
        if saturated:
            message = (
                f"{saturated} of {row.usage.channels} channels of {row.pair.node!r} lie far beyond the range of the tensor for most of their values."
            )
            yield Diagnostic(
                "saturated-channels", "warning", message, "Calibrate on samples like these, or widen the range by a rule.", row.pair.node
            )


def _outliers(rows: Sequence[Row]) -> Iterator[Diagnostic]:
    for row in rows:
        steps, own_db = row.usage.crowded(), metrics.sqnr_db(row.own_sums)
        if steps is not None and steps <= OUTLIER_STEPS and row.usage.width() >= USED_STEPS and own_db < OUTLIER_DB:
            message = (
                f"99.9 % of the values of {row.pair.node!r} have {steps} of the {row.usage.width()} integers that its outliers reach, "
                f"and the layer alone keeps {own_db:.1f} dB."
            )
            yield Diagnostic("activation-outliers", "warning", message, f"--observer percentile:99.99 cuts them off. {KEEP}", row.pair.node)
