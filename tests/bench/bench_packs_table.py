"""The Markdown tables of `bench_packs.py`."""

from collections.abc import Mapping, Sequence

BASE, DEFAULT = "all-int8", "default"
ALONE = ("rescaling", "first-layers", "outputs", "detection-head")
EQUAL_DB = 0.1
BEGIN, END = "<!-- bench_packs: begin -->", "<!-- bench_packs: end -->"

type Line = Mapping[str, object]


def into(text: str, lines: Sequence[Line]) -> str:
    """The text with the tables between its two marks, or the tables alone where it has none."""
    if BEGIN not in text or END not in text:
        return tables(lines)
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{tables(lines)}\n{END}{rest.partition(END)[2]}"


def tables(lines: Sequence[Line]) -> str:
    """SQNR of every set; cost of the usual ones; what each rule is worth."""
    latest = {(str(line["model"]), str(line["set"])): line for line in lines}
    models = sorted({model for model, _ in latest})
    parts = (
        "SQNR in dB of the worst output, against onnxruntime. `=`: the pack takes no node, or none that was not float already, so the file is the same.",
        _sqnr(latest, models, (BASE, *ALONE)),
        "The same after `default`:",
        _sqnr(latest, models, (DEFAULT, "default, transformer", *(f"default, {name}" for name in ALONE))),
        "Size, latency (of a quantized file over that of the float file, runs alternating), and the share of the multiplications that is left to float kernels:",
        _cost(latest, models),
        "What each rule is worth, on the models where it changes the output by 0.1 dB or more:",
        _apart(latest, models),
    )
    return "\n\n".join(part if isinstance(part, str) else "\n".join(part) for part in parts) + "\n"


def _sqnr(latest: Mapping[tuple[str, str], Line], models: Sequence[str], columns: Sequence[str]) -> list[str]:
    rows = [f"| model | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for model in models:
        base = latest.get((model, columns[0]))
        cells = []
        for name in columns:
            line = latest.get((model, name))
            idle = line is not None and base is not None and line is not base and line["sha256"] == base["sha256"]
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
        cells = [f"{_number(base, 'float_bytes') / 1e3:.0f} kB, {_number(base, 'float_cpu_ms'):.2f} ms"]
        for name in columns:
            line = latest.get((model, name))
            share = "" if line is None else f", {100 * _number(line, 'float_mac_share'):.0f} %"
            cells.append(
                "" if line is None else f"{_number(line, 'bytes') / 1e3:.0f} kB, {_number(line, 'cpu_ms') / _number(line, 'float_cpu_ms'):.2f}{share}"
            )
        rows.append(f"| {model} | {' | '.join(cells)} |")
    return rows


def _apart(latest: Mapping[tuple[str, str], Line], models: Sequence[str]) -> list[str]:
    rows = ["| pack | rule | dB at the output with it, and without |", "|---|---|---|"]
    for pack in (DEFAULT, "default, transformer"):
        prefix = f"{pack} without "
        for rule in dict.fromkeys(name.removeprefix(prefix) for _, name in latest if name.startswith(prefix)):
            found = []
            for model in models:
                full, less = latest.get((model, pack)), latest.get((model, f"{prefix}{rule}"))
                if full is not None and less is not None and abs(_number(full, "sqnr_db") - _number(less, "sqnr_db")) >= EQUAL_DB:
                    found.append(f"{model} {_number(full, 'sqnr_db'):.1f}, {_number(less, 'sqnr_db'):.1f}")
            rows.append(f"| {pack} | `{rule}` | {'; '.join(found) or 'no difference'} |")
    return rows


def _number(line: Line, key: str) -> float:
    value = line[key]
    assert isinstance(value, int | float)
    return float(value)
