"""What a conversion gives back, and which versions of the tools made it."""

import importlib.metadata
import platform
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bridge.errors import UsageError
from bridge.files import results_folder
from bridge.types import ConvertedModel

if TYPE_CHECKING:
    from bridge.report.schema import Report

TOOLS = ("tflite-bridge", "onnx", "onnx-ir", "onnxruntime", "ai-edge-litert", "numpy")


@dataclass(frozen=True, slots=True)
class ConversionResult:
    """What `convert` made.

    Attributes:
        report: the same that report.json holds.
        output_dir: the folder with everything.
        artifacts: precision -> .tflite file; `saved_model` -> its folder, where it was kept.
    """

    report: "Report"
    output_dir: Path
    artifacts: Mapping[str, Path]

    def save(self, folder: Path | str, *, force: bool = False) -> Path:
        """Copies every file of the results, returns the folder.

        Args:
            folder: created if it does not exist; files of the same names in it are replaced.
            force: also write into a folder that holds other things than results of ours.

        Returns:
            The folder.

        Raises:
            UsageError: the results are gone, or the folder cannot be written to.
        """
        target = Path(folder)
        if not self.output_dir.is_dir():
            raise UsageError(f"{self.output_dir}: the results are no longer there.", hint="Convert again, or save before the folder is removed.")
        if target.resolve() == self.output_dir.resolve():
            return target
        with results_folder(target, force=force) as unfinished:
            for file in sorted(self.output_dir.iterdir()):
                if file.is_file():
                    shutil.copy2(file, unfinished / file.name)
                elif file == self.artifacts.get("saved_model"):
                    shutil.copytree(file, unfinished / file.name)
        return target

    def _repr_html_(self) -> str:
        """The report, for notebooks."""
        return self.report._repr_html_()


def versions(converted: ConvertedModel) -> dict[str, str]:
    """Version of everything that had a part in the result."""
    return {"python": platform.python_version(), "onnx2tf": converted.onnx2tf_version} | {tool: importlib.metadata.version(tool) for tool in TOOLS}
