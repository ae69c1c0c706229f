"""What some tensors hold: their histograms, how calibration found their ranges, how wide the channels of the weights are."""

from bridge.report.parts import Part, Real


class Histogram(Part):
    """Values of one tensor: counts per bin of equal width between `minimum` and `maximum`, reference beside candidate, in real units.

    Attributes:
        samples: that were looked at.
        range_minimum: the least that its integers can hold; None for a float tensor.
        range_maximum: the most.
        clipped_below: share of the reference's values below that range by more than half a step, 0 .. 1; None for a float tensor.
        clipped_above: likewise above it.
    """

    tensor: str
    minimum: Real
    maximum: Real
    reference: tuple[int, ...]
    candidate: tuple[int, ...]
    samples: int = 0
    range_minimum: Real | None = None
    range_maximum: Real | None = None
    clipped_below: Real | None = None
    clipped_above: Real | None = None


class WeightChannels(Part):
    """Largest magnitude in each output channel of a weight with a scale per channel, the widest first; at most 128 of `channels`, evenly chosen."""

    node: str
    op: str
    channels: int
    widths: tuple[Real, ...]


class Growth(Part):
    """Width of a tensor's range after each quarter of the calibration samples, as a share of its final width."""

    tensor: str
    shares: tuple[Real, ...]
