"""How large things may become, whoever wrote the file; nothing that fits into a phone is near them."""

MAX_NODES = 200_000  # of a model, with its functions and loops written out
MAX_AXES = 64  # of a tensor; NumPy takes no more either
MAX_MATRIX = 1 << 26  # elements of a constant that a rewriting makes of a few numbers
