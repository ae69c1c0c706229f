"""What stands for the model in the texts of options: each of several finds its own data like this."""

from collections.abc import Mapping
from pathlib import Path

from bridge import frontends

PER_MODEL = ("calibration", "evaluation", "preprocess", "rules", "ranges", "baseline")  # options whose text may name the model


def filled(options: Mapping[str, object], path: Path, name: str = "") -> dict[str, object]:
    """Options with what stands for the model filled in: `{stem}` of its file, `{dir}` for its folder, `{name}` for its results."""
    stem = frontends.stem(path)
    values = {"{stem}": stem, "{dir}": str(path.parent), "{name}": name or stem}

    def fill(value: object) -> object:
        if isinstance(value, tuple | list):
            return tuple(fill(one) for one in value)
        if not isinstance(value, str | Path):
            return value
        text = str(value)
        for mark, meant in values.items():
            text = text.replace(mark, meant)
        return value if text == str(value) else text

    return {key: fill(value) if key in PER_MODEL else value for key, value in options.items()}
