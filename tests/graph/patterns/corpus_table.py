"""Prints what the corpus shows, as Markdown: `uv run python tests/graph/patterns/corpus_table.py > docs/patterns.md`."""

import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import corpus_files
import spelled_texts

EXPORTERS = ("torchscript-17", "dynamo-17", "dynamo-18", "dynamo-20", "dynamo-23", "keras3-17", "by hand", "com.microsoft")
HEAD = """# Patterns: spelling x exporter

Each file of `tests/graph/patterns/corpus/` (TorchScript and dynamo exporter of torch 2.15, Keras 3.15 through tf2onnx 1.17, the number is the opset) and each text of
`tests/graph/spelled_texts.py` (by hand, and with the operators of onnxruntime) holds one spelling of one pattern between two layers. `yes`: every node of the spelling that
computes carries the pattern, no other node does, and the outputs of the normalised model are within 1e-5 of the model's, relative to their largest value, in onnxruntime.
Empty: that exporter does not write the spelling (torch keeps opset 18 where 17 cannot say it; TorchScript has no RMSNorm and no grouped attention), or it was not written down.

Made by `uv run python tests/graph/patterns/corpus_table.py > docs/patterns.md`; a test keeps it current. The corpus itself is made by `make_torch.py` and `make_keras.py`
beside it, in environments of their own; the tests need neither torch nor TensorFlow.
"""


@cache
def results() -> dict[str, dict[str, corpus_files.Finding]]:
    """Finding by spelling and exporter."""
    found: dict[str, dict[str, corpus_files.Finding]] = defaultdict(dict)
    for path in corpus_files.files():
        found[corpus_files.spelling_of(path)][corpus_files.exporter_of(path)] = corpus_files.examine_file(path)
    for exporter, texts in (("by hand", spelled_texts.BY_HAND), ("com.microsoft", spelled_texts.CONTRIB)):
        for name, text in texts.items():
            found[name][exporter] = corpus_files.examine(spelled_texts.source(*text), name.split("/")[0])
    return dict(sorted(found.items()))


def lines() -> Iterator[str]:
    """The page, line by line."""
    table = results()
    cells = [(exporter, finding) for row in table.values() for exporter, finding in row.items()]
    yield from HEAD.splitlines()
    yield ""
    yield f"{sum(finding.recognised for _, finding in cells)} of {len(cells)} recognised; {len(table)} spellings of {len({name.split('/')[0] for name in table})} patterns."
    yield ""
    yield f"| spelling | {' | '.join(EXPORTERS)} |"
    yield f"|---|{'---|' * len(EXPORTERS)}"
    for name, row in table.items():
        yield f"| `{name}` | {' | '.join(_cell(row.get(exporter)) for exporter in EXPORTERS)} |"


def _cell(finding: corpus_files.Finding | None) -> str:
    return "" if finding is None else "yes" if finding.recognised else "no"


if __name__ == "__main__":
    sys.stdout.write("\n".join(lines()) + "\n")
