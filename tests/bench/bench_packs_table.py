"""The Markdown tables of `bench_packs.py`."""

from collections.abc import Mapping, Sequence

BASE, DEFAULT = "all-int8", "default"
ALONE = ("rescaling", "first-layers", "outputs", "detection-head")
EQUAL_DB = 0.05  # figures are rounded to a tenth

type Line = Mapping[str, object]


def tables(lines: Sequence[Line]) -> str:
    """SQNR of every set; cost of those that change the file; what each rule of `default` is worth."""
    latest = {(str(line["model"]), str(line["set"])): line for line in lines}
    models = sorted({model for model, _ in latest})
    return "\n".join((*_sqnr(latest, models), "", *_cost(latest, models), "", *_apart(latest, models))) + "\n"


def _sqnr(latest: Mapping[tuple[str, str], Line], models: Sequence[str]) -> list[str]:
    columns = (BASE, *ALONE, DEFAULT, "default, transformer", *(f"default, {name}" for name in ALONE))
    rows = [f"| model | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for model in models:
        cells = []
        for name in columns:
            line, without = latest.get((model, name)), latest.get((model, DEFAULT if name.startswith("default,") else BASE))
            idle = line is not None and without is not None and name not in (BASE, DEFAULT) and line["sha256"] == without["sha256"]
            cells.append("" if line is None else "=" if idle else f"{_number(line, 'sqnr_db'):.1f}")
        rows.append(f"| {model} | {' | '.join(cells)} |")
    return rows


def _cost(latest: Mapping[tuple[str, str], Line], models: Sequence[str]) -> list[str]:
    columns = (BASE, DEFAULT, "default, transformer")
    rows = [f"| model | float | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for model in models:
        base = latest.get((model, BASE))
        if base is None:
            continue
        cells = [f"{_number(base, 'float_bytes') / 1e3:.0f} kB, {_number(base, 'float_ms'):.2f} ms"]
        for name in columns:
            line = latest.get((model, name))
            share = "" if line is None else f", {100 * _number(line, 'float_mac_share'):.0f} %"
            cells.append("" if line is None else f"{_number(line, 'bytes') / 1e3:.0f} kB, {_number(line, 'ms'):.2f} ms{share}")
        rows.append(f"| {model} | {' | '.join(cells)} |")
    return rows


def _apart(latest: Mapping[tuple[str, str], Line], models: Sequence[str]) -> list[str]:
    prefix = "default without "
    rules = list(dict.fromkeys(name.removeprefix(prefix) for _, name in latest if name.startswith(prefix)))
    rows = ["| rule of `default` | dB at the output with it, and without |", "|---|---|"]
    for rule in rules:
        found = []
        for model in models:
            full, less = latest.get((model, DEFAULT)), latest.get((model, f"{prefix}{rule}"))
            if full is None or less is None or abs(_number(full, "sqnr_db") - _number(less, "sqnr_db")) < EQUAL_DB:
                continue
            found.append(f"{model} {_number(full, 'sqnr_db'):.1f}, {_number(less, 'sqnr_db'):.1f}")
        rows.append(f"| `{rule}` | {'; '.join(found) or 'no difference'} |")
    return rows


def _number(line: Line, key: str) -> float:
    value = line[key]
    assert isinstance(value, int | float)
    return float(value)
