"""The `compression` block: zeros and distinct values of weights, and both files through gzip."""

from bridge.report.parts import Part, Real


class WeightCompression(Part):
    """One weight of 64 values or more in both files; zeros 0 .. 1, distinct values as stored in the whole tensor, `scales` different ones.

    `float_distinct` is None for a weight of 262,144 values or more in which a glance finds more than 32,768 distinct ones: it is not clustered.
    """

    node: str
    tensor: str
    values: int
    float_zeros: Real
    quantized_zeros: Real
    float_distinct: int | None
    quantized_distinct: int
    scales: int


class Compression(Part):
    """Zeros over all `weights`, the most distinct values in any of them, bytes of the files after gzip; None = not measured."""

    float_zeros: Real | None = None
    quantized_zeros: Real | None = None
    float_distinct: int | None = None
    quantized_distinct: int | None = None
    float_gzip_bytes: int | None = None
    quantized_gzip_bytes: int | None = None
    weights: tuple[WeightCompression, ...] = ()
