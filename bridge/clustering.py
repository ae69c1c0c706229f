"""When a tensor counts as clustered, for whoever makes clusters, keeps them, quantizes them or reports on them."""

MIN_VALUES = 64  # a smaller tensor has few distinct values whatever was done to it, and a table of clusters is larger than what it saves
REPEATS = 4  # how often each value of a clustered tensor is there, in the mean
MANY = 1 << 15  # distinct values beyond which a large tensor is not clustered, and nobody counts on


def is_repeated(distinct: int, count: int) -> bool:
    """Whether `count` values, of which `distinct` differ, are clusters; zeros are in neither: a pruned tensor is not clustered for most of it being zero."""
    return 0 < distinct * REPEATS <= count
