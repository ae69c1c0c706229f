"""PyTorch sources: a module, an exported program, a `.pt2` file, a TorchScript module or file."""

import sys
import zipfile
from pathlib import Path

from bridge.errors import InputError, UsageError
from bridge.frontends.source_options import Frontend, SourceOptions
from bridge.types import SourceModel

SCRIPT_SUFFIXES = frozenset({".pt", ".pth", ".ts", ".torchscript"})


def _is_live(source: object) -> bool:
    """Whether it is a torch object; without importing torch, which whoever made one has loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module | torch.export.ExportedProgram)


def _is_program_file(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).suffix == ".pt2"


def _is_script_file(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).suffix in SCRIPT_SUFFIXES


def _load_live(source: object, options: SourceOptions) -> SourceModel:
    from bridge.frontends import torch_export  # torch, which nothing else needs

    return torch_export.from_object(source, options)


def _load_program(source: object, options: SourceOptions) -> SourceModel:
    path = _readable(source)
    return _exporter(path).from_program_file(path)  # type: ignore[attr-defined,no-any-return]  # a module loaded late


def _load_script(source: object, options: SourceOptions) -> SourceModel:
    path = _readable(source)
    if not _holds_code(path):
        raise InputError(
            f"{path}: holds weights or pickled Python objects, no program.",
            hint="Build the module in Python, load the weights into it and call bridge.convert(module, example_inputs=...).",
        )
    return _exporter(path).from_script_file(path, options)  # type: ignore[attr-defined,no-any-return]  # a module loaded late


def _readable(source: object) -> Path:
    path = Path(str(source))
    if not path.exists():
        raise InputError(f"{path}: there is no such file.", hint="Check the path of the model.")
    if not zipfile.is_zipfile(path):
        raise InputError(f"{path}: is no PyTorch archive, or it is cut off.", hint="Give the file that torch.export.save or torch.jit.save wrote.")
    return path


def _holds_code(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any("/code/" in name for name in archive.namelist())


def _exporter(path: Path) -> object:
    try:
        from bridge.frontends import torch_export
    except ModuleNotFoundError as error:
        raise UsageError(f"{path}: reading it needs PyTorch.", hint="pip install 'tflite-bridge[torch]'") from error
    return torch_export


TORCH_FRONTENDS = (
    Frontend("PyTorch module or ExportedProgram", _is_live, _load_live),
    Frontend("exported program (.pt2)", _is_program_file, _load_program),
    Frontend("TorchScript file", _is_script_file, _load_script),
)
