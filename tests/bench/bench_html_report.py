"""The HTML report of a chain with shortcuts in headless Chromium: what writing and using it takes; prints JSON.

    python tests/bench/bench_html_report.py [--nodes 3000]

Sizes in MB, times in seconds. `frame` is the mean over 30 steps, from one drawn picture to the next.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bridge.report import html_report
from bridge.report.graph_view import graph_view
from bridge.report.schema import Coverage, Island, Layer, Model, Node, Report, Summary

FRAMES = 30
STEPS = """const [keys, count] = arguments; const canvas = document.getElementById('graph-canvas');
    return new Promise((done) => { let step = 0; const start = performance.now(); const next = () => {
        if (step === count) return done((performance.now() - start) / count / 1000);
        canvas.dispatchEvent(new KeyboardEvent('keydown', { key: keys[step++ % keys.length], bubbles: true })); requestAnimationFrame(next); };
        requestAnimationFrame(next); })"""


def generated(count: int) -> Report:
    """Every third node reads the one three before it too, ten read one from far above; every seventh is float."""
    nodes = tuple(
        Node(name=f"/model/encoder/layer.{i // 30}/attention/self/node_{i}", op_type="Conv", precision="static_wi8_ai8" if i % 7 else "float32")
        for i in range(count)
    )
    layers = tuple(
        Layer(
            node=node.name,
            tensor=f"{node.name}_output_0",
            status="mapped",
            conversion_sqnr_db=100.0,
            inherited_sqnr_db=25.0,
            own_sqnr_db=float(i * 7919 % 60),
            rmse_over_scale=0.3,
            max_abs=0.1,
        )
        for i, node in enumerate(nodes)
    )
    far = [(i, count - 1 - i) for i in range(5, count // 3, count // 30)]
    edges = (*((i - 1, i) for i in range(1, count)), *((i - 3, i) for i in range(3, count, 3)), *far)
    return Report(
        model=Model(path="chain.onnx", sha256="0" * 64, framework="onnx", nodes=count),
        versions={},
        precision="static_wi8_ai8",
        artifacts={},
        summary=Summary(precisions={"static_wi8_ai8": count - len(nodes[::7]), "float32": len(nodes[::7])}),
        coverage=Coverage(nodes=count, mapped=count, explained=0),
        inputs=(),
        outputs=(),
        rules=(),
        islands=tuple(Island(precision="float32", nodes=(node.name,)) for node in nodes[::7]),
        nodes=nodes,
        edges=edges,
        layers=layers,
    )


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 3)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=3000)
    count = parser.parse_args().nodes
    sys.path.insert(0, str(Path(__file__).parents[1] / "report" / "page"))
    from browser import opened

    report = generated(count)
    html_report.render(report)  # the template is read and compiled once
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        found: dict[str, object] = {
            "layout_s": timed(lambda: graph_view(report)),
            "write_s": timed(lambda: page.write_text(html_report.render(report), encoding="utf-8")),
        }
        found["size_mb"] = round(page.stat().st_size / 1e6, 2)
        with opened(Path(folder)) as browser:

            def show() -> None:
                browser.open(page)
                browser.wait("return document.getElementById('graph-title')")

            found["open_s"] = timed(show)
            found["frame_reading_s"] = round(browser.run(STEPS, ["ArrowDown"], FRAMES), 3)
            browser.click("#graph-fit")
            found["frame_whole_s"] = round(browser.run(STEPS, ["+", "-"], FRAMES), 3)
            found["sort_s"] = timed(lambda: browser.click("th[data-key=own] button"))
            browser.click("#graph-find")
            found["search_s_per_key"] = round(timed(lambda: browser.keys(*"node_2999")) / 9, 3)
            browser.click("#find")
            found["filter_s_per_key"] = round(timed(lambda: browser.keys(*"node_2999")) / 9, 3)
            found["console"] = browser.complaints()
    print(json.dumps(found))  # noqa: T201  # the result


if __name__ == "__main__":
    main()
