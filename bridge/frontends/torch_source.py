"""PyTorch sources: a module, an exported program, a `.pt2` file, a TorchScript module or file."""

import functools
import sys
from pathlib import Path

from bridge.frontends.source_options import Frontend

PROGRAM_SUFFIX = ".pt2"
SCRIPT_SUFFIXES = frozenset({".pt", ".pth", ".ts", ".torchscript"})


def _is_live(source: object) -> bool:
    """Whether it is a torch object; without importing torch, which whoever made one has loaded."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(source, torch.nn.Module | torch.export.ExportedProgram)


def _is_program_file(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).suffix == PROGRAM_SUFFIX


def _is_script_file(source: object) -> bool:
    return isinstance(source, str | Path) and Path(source).suffix in SCRIPT_SUFFIXES


_torch_frontend = functools.partial(Frontend, needs="PyTorch", extra="torch")
TORCH_FRONTENDS = (
    _torch_frontend("PyTorch module or ExportedProgram", _is_live, "bridge.frontends.torch_export:from_object"),
    _torch_frontend("exported program (.pt2)", _is_program_file, "bridge.frontends.torch_export:from_program_file"),
    _torch_frontend("TorchScript file", _is_script_file, "bridge.frontends.torch_export:from_script_file"),
)
