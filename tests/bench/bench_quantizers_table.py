"""The table of a run: each tool's best file per model, and who is first."""

from collections.abc import Mapping, Sequence
from typing import Any

TOOLS = ("bridge", "AI Edge Quantizer", "TFLiteConverter", "onnx2tf -oiqt")
Row = Mapping[str, Any]


def markdown(document: Mapping[str, Any]) -> str:
    """Two tables: the best of each tool with the share of its operators that stay float, and all settings."""
    return "\n".join([*_best(document["models"]), "", *_all(document["models"])]) + "\n"


def runs(row: Row) -> bool:
    """Whether there is a file, and it runs."""
    return "sqnr_db" in row


def products_only(row: Row) -> bool:
    """Whether the recipe quantizes matrix products and leaves all else float."""
    return row["tool"] == "AI Edge Quantizer" and str(row["setting"]).startswith(("mse", "gptq", "oscar"))


def best[R: Row](rows: Sequence[R]) -> R | None:
    """The file with the highest SQNR among those that quantize more than matrix products."""
    return max((row for row in rows if runs(row) and not products_only(row)), key=lambda row: row["sqnr_db"], default=None)


def _best(models: Sequence[Row]) -> list[str]:
    lines = [
        "| model | " + " | ".join(f"{tool}: SQNR dB / score / KB / ms over float ms / s" for tool in TOOLS) + " | ours minus best peer, dB | score |"
    ]
    lines.append("|" + "---|" * (len(TOOLS) + 4))
    for model in models:
        rows = [row for row in model["rows"] if not products_only(row)]
        chosen = {tool: best([row for row in rows if row["tool"] == tool]) for tool in TOOLS}
        lines.append(f"| {model['model']} | " + " | ".join(_cell(chosen[tool], rows, tool) for tool in TOOLS) + f" | {_lead(rows)} |")
    return lines


def _cell(row: Row | None, rows: Sequence[Row], tool: str) -> str:
    if row is None:
        reasons = [str(one.get("error", "")) for one in rows if one["tool"] == tool]
        return "no file: " + (reasons[0][:120].replace("|", "/").replace("\n", " ") if reasons else "not run")
    score = f"{row['score']:.4g}" if row.get("score") is not None else "-"
    ratio = f"{row['ms'] / row['float_ms']:.2f}" if "ms" in row else "-"
    return f"{row['sqnr_db']:.2f} / {score} / {row['bytes'] / 1000:.0f} / {ratio} / {row['seconds'] or 0:.1f} ({row['setting']}; {row['float_op_share']:.0%} float)"


def _lead(rows: Sequence[Row]) -> str:
    ours, peers = best([row for row in rows if row["tool"] == "bridge"]), [row for row in rows if row["tool"] != "bridge" and runs(row)]
    if ours is None:
        return "- | - | -"
    if not peers:
        return "alone | alone | alone"
    their_best = max(row["sqnr_db"] for row in peers)
    whole = best([row for row in rows if row["tool"] == "bridge" and row["setting"].startswith("all int8")])
    leads = f"{ours['sqnr_db'] - their_best:+.2f} | " + (f"{whole['sqnr_db'] - their_best:+.2f}" if whole is not None else "-")
    mine, theirs = (_kept([row for row in rows if (row["tool"] == "bridge") is side]) for side in (True, False))
    return f"{leads} | " + (f"{mine - theirs:+.4f}" if mine is not None and theirs is not None else "-")


def _kept(rows: Sequence[Row]) -> float | None:
    """The best score; what is above the float model's is chance, so it counts as that."""
    return max((min(row["score"], row["float_score"]) for row in rows if row.get("score") is not None), default=None)


def _all(models: Sequence[Row]) -> list[str]:
    lines = [
        "| model | tool | setting | SQNR dB | score | float score | float MACs | float operators | bytes | ms | float ms | s |",
        "|" + "---|" * 12,
    ]
    for model in models:
        for row in model["rows"]:
            head = f"| {model['model']} | {row['tool']} | {row['setting']} | "
            if not runs(row):
                lines.append(head + str(row.get("error", ""))[:200].replace("|", "/").replace("\n", " ") + " |" * 9)
                continue
            score = f"{row['score']:.4f} | {row['float_score']:.4f}" if row.get("score") is not None else "- | -"
            time = f"{row['ms']:.3f} | {row['float_ms']:.3f}" if "ms" in row else "- | -"
            lines.append(
                head
                + f"{row['sqnr_db']:.2f} | {score} | {row['float_mac_share']:.2f} | {row['float_op_share']:.2f} | {row['bytes']} | {time} | {row['seconds'] or 0:.1f} |"
            )
    return lines
