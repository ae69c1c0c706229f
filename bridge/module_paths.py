"""Module paths as training code spells them, and globs over them."""

from bridge.name_patterns import glob_fits

ITSELF = "_"  # stands for the node at the end of the path of its module


def scope_fits(glob: str, scope: str) -> bool:
    """Whether the module path is the one that the glob asks for, or lies inside it; a glob without `/` is one over the path of the training code."""
    if not scope:
        return False
    if "/" not in glob:
        glob, scope = glob.replace(".", "/"), module_path(scope).replace(".", "/")
    inside = f"{scope}/{ITSELF}"
    return glob_fits(glob, scope) or scope.startswith(f"{glob}/") or glob_fits(glob, inside) or glob_fits(f"{glob}/**", inside)


def module_path(scope: str) -> str:
    """The path of the training code, `layer1.0.conv1`, of one in the file, `layer1/layer1.0/conv1`.

    torch's TorchScript exporter repeats the name of a Sequential before each of its members, and leaves out that of a ModuleList.
    """
    parts: list[str] = []
    before = ""
    for part in scope.split("/"):
        repeated = f"{before}."
        parts.append(part.removeprefix(repeated) if before else part)
        before = part
    return ".".join(parts)
