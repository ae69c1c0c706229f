"""Every command and snippet of the pages runs, or says on the line before it what runs it or why nothing does; links lead somewhere.

    <!-- run by tests/test_ci_page.py -->
    <!-- not run: it needs a Dask cluster -->

The others run here, page by page from top to bottom, in a folder that holds the names which the pages use: a small ViT with few samples, and its conversion in
`out/`. A comment `# exit code 5` says how a command ends, `# head.toml` or `# data.py` on a snippet's first line saves it under that name.
"""

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from bridge import configuration
from bridge.calibrate.preprocessing import Preprocessing, find_preprocessing
from bridge.cli import main
from bridge.cli_convert import convert
from bridge.report.gates import parse
from bridge.rules.files import load

ROOT = Path(__file__).parents[1]
PAGES = tuple(
    sorted(
        str(path.relative_to(ROOT))
        for path in (ROOT, *(ROOT / name for name in ("docs", "exclusion_rules", "models", "tests/bench")))
        for path in path.glob("*.md")
    )
)
SAMPLES = 12  # of each file: enough to be quick
FENCE = re.compile(r"^(?:<!-- (?P<mark>run by|not run:) (?P<why>[^\n]+) -->\n)?```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """What stands between two fences, and what is said about running it."""

    line: int
    kind: str
    text: str
    mark: str
    why: str

    @property
    def file(self) -> str:
        """The name that the first line gives it, or nothing."""
        named = re.match(r"# (\w[\w./-]*\.(?:toml|py))\n", self.text)
        return named[1] if named else ""


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page: str) -> list[Block]:
    text = read(page)
    found = [
        Block(text.count("\n", 0, one.start()) + 1, one["kind"], one["text"], (one["mark"] or "").strip(), one["why"] or "")
        for one in FENCE.finditer(text)
    ]
    assert 2 * len(found) == len(re.findall(r"^```", text, re.MULTILINE)), f"{page}: a fence without its end"
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the names of the pages stand for."""
    made = tmp_path_factory.mktemp("pages")
    (made / "models").symlink_to(ROOT / "models")
    for prefix, name in (("", "digits_vit"), ("cnn_", "digits_cnn_bn_silu")):
        (made / f"{prefix.rstrip('_') or 'model'}.onnx").symlink_to(ROOT / "models" / name / "model.onnx")
        for short, whole in (("calib", "calibration"), ("eval", "evaluation")):
            with np.load(ROOT / "models" / name / f"{whole}.npz") as data:
                np.savez(made / f"{prefix}{short}.npz", **{key: value[:SAMPLES] for key, value in data.items()})
    (made / "main").symlink_to("out")
    (made / "report.json").symlink_to("out/report.json")
    (made / "model.float32.tflite").symlink_to("out/model.float32.tflite")
    (made / "from_another_tool.tflite").symlink_to("out/model.static_wi8_ai8.tflite")
    with np.load(made / "eval.npz") as data:
        np.savez(made / "nhwc.npz", image=data["image"].transpose(0, 2, 3, 1))
    # What is not the point of a page is kept short: errors of layers on few samples.
    (made / "bridge.toml").write_text("layer_samples = 2\n")
    return made


def run_command(line: str, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = shlex.split(line, comments=True)
    assert words[0] == "bridge", f"{where}: neither a command of bridge nor marked"
    expected = re.search(r"# exit code (\d)", line)
    with pytest.raises(SystemExit) as ended:
        main(words[1:])
    said = capsys.readouterr()
    assert (ended.value.code or 0) == (int(expected[1]) if expected else 0), f"{where}: {line}\n{said.out}{said.err}"


def check_toml(block: Block, folder: Path, where: str) -> None:
    """Each kind of TOML by its own reader."""
    path = folder / (block.file or "snippet.toml")
    path.write_text(block.text)
    if "[[rules]]" in block.text or "rules = [\n" in block.text:
        load([path])
    elif "[tool.bridge]" in block.text:
        settings = folder / "settings"
        settings.mkdir(exist_ok=True)
        (settings / "pyproject.toml").write_text(block.text)
        found = configuration.read(settings)
        assert found is not None, where
        for gate in configuration.defaults(found, convert).get("gate", ()):  # type: ignore[attr-defined]  # a list, as the option takes it
            parse(gate)
    else:
        find_preprocessing(path)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(not block.mark for block in blocks(page))])
def test_what_a_page_shows_runs(page: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(folder)
    if not (folder / "pristine").exists():
        run_command("bridge convert model.onnx --calibration calib.npz --evaluation eval.npz -o pristine", "the conversion that pages share", capsys)
    shutil.rmtree(folder / "out", ignore_errors=True)  # what another page wrote there
    shutil.copytree(folder / "pristine", folder / "out")
    for block in blocks(page):
        where = f"{page}:{block.line}"
        if block.mark:
            continue
        if block.kind == "toml":
            check_toml(block, folder, where)
        elif block.kind == "python" and block.file:
            (folder / block.file).write_text(block.text)
        elif block.kind == "python":
            done = subprocess.run([sys.executable, "-c", block.text], cwd=folder, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{where}: {done.stderr}"
        else:
            assert not block.kind, f"{where}: {block.kind} is neither a command nor marked"
            for line in block.text.splitlines():
                run_command(line, where, capsys)


@pytest.mark.parametrize("page", PAGES)
def test_what_runs_elsewhere_is_run_there(page: str) -> None:
    for block in blocks(page):
        if block.mark == "run by":
            test = ROOT / block.why
            assert test.is_file(), f"{page}:{block.line}: {block.why}"
            assert Path(page).name in test.read_text(encoding="utf-8"), f"{page}:{block.line}: {block.why} does not read the page"


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    names = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading) for heading in headings)
    return {re.sub(r"[^\w\- ]", "", name.lower()).replace(" ", "-") for name in names}


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"^```.*?^```$|`[^`\n]*`", "", read(page), flags=re.DOTALL | re.MULTILINE)):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = (ROOT / page).parent / file if file else ROOT / page
        assert path.exists(), f"{page}: {target}"
        assert not anchor or path.suffix != ".md" or anchor in anchors(path), f"{page}: {target}"


def test_every_page_stands_in_the_list_of_pages() -> None:
    listed = re.findall(r"^- \[([^\]]+)\]\(([^)]+)\)", read("docs/README.md"), re.MULTILINE)
    assert all(name == target for name, target in listed)
    found = sorted(str((ROOT / "docs" / target).resolve().relative_to(ROOT)) for _, target in listed)
    assert found == sorted(set(PAGES) - {"docs/README.md"})


def test_the_preprocessing_example_names_every_key() -> None:
    (example,) = (block.text for block in blocks("docs/data.md") if block.kind == "toml")
    named = {first or second for first, second in re.findall(r"^(\w+) = |`(\w+) = ", example, re.MULTILINE)}
    assert named >= set(Preprocessing.__struct_fields__) - {"padding"}
