"""Options that several commands have, and what their text stands for."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Model = Annotated[
    Path,
    typer.Argument(
        help="The model: .onnx, .pt2 (torch.export), TorchScript (.pt, .ts; with --input), .keras, .h5, a SavedModel folder, or a float .tflite.",
        show_default=False,
    ),
]
Signature = Annotated[str | None, typer.Option(metavar="NAME", help="Signature of a SavedModel, where it has more than one.")]
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=1x3x224x224",
        help="Shape of an input with dynamic dimensions, else that of the samples, and of each input of a TorchScript file; repeat for more inputs.",
    ),
]
Rules = Annotated[list[str] | None, typer.Option("--rules", help="Rule file, or the name of a pack; later ones win. Repeat for more.")]
NoDefaultRules = Annotated[bool, typer.Option("--no-default-rules", help="Leave out the pack `default`: only what has no kernel stays float.")]
Preprocess = Annotated[
    str | None,
    typer.Option(help="How pictures become inputs: imagenet, imagenet-tf, caffe, clip, yolo, yolox, unit (0..1), raw (0..255), or a .toml file."),
]


def instead_of[Value](other: str) -> Callable[[typer.Context, Value], Value]:
    """For an option that rules another one out: given on the command line, which is read first, it forgets what the settings say about that one."""

    def keep(context: typer.Context, value: Value) -> Value:
        if value and context.default_map:
            context.default_map.pop(other, None)
        return value

    return keep


def _load_custom_ops(modules: list[str] | None) -> list[str] | None:
    """Imports what the option and the settings name, before the command runs."""
    from bridge.custom_ops.modules import configured_modules, load_modules

    load_modules((*configured_modules(Path.cwd()), *(modules or ())))
    return modules


CustomOps = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODULE", callback=_load_custom_ops, help="Python module that calls bridge.register_op for custom operators; repeat for more."
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME",
        help="Task metric of both models on the evaluation samples: top1, top5, auc, mean_iou, psnr, ssim, cosine, spearman, or module:function; repeat for more.",
    ),
]
Gates = Annotated[
    list[str] | None,
    typer.Option(
        "--gate", help="Exit with 5 unless it holds, as 'sqnr>=25' or 'layer[encoder.*]:own_sqnr>=15 and size_ratio<=0.3'; repeat for more."
    ),
]
Baseline = Annotated[Path | None, typer.Option(help="report.json of an earlier run; exit with 5 where this one is worse.")]
Tolerance = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=VALUE", help="How much worse than the baseline, as sqnr=1 (dB); inf asks nothing. Repeat for more."),
]
Github = Annotated[
    bool,
    typer.Option(
        "--github", help="Also write GitHub annotations (with --json to stderr), and keep GitHub from reading commands in the names of nodes."
    ),
]
Start = Annotated[
    list[str] | None, typer.Option("--from", metavar="TENSOR", help="Take only the part of the model behind this tensor; repeat for more.")
]
End = Annotated[list[str] | None, typer.Option("--to", metavar="TENSOR", help="Take only the part of the model up to this tensor; repeat for more.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
LayerSamples = Annotated[int, typer.Option(min=1, help="Evaluation samples for the errors of layers; outputs use all.")]
Memory = Annotated[
    int, typer.Option(min=1, metavar="MB", help="Memory of the process while layers are compared; beyond it they are measured in several passes.")
]
Threads = Annotated[int, typer.Option(min=1, help="Threads of each run of a model.")]


def packs(rules: Sequence[str] | None, no_default: bool) -> tuple[str, ...]:
    """What the options say about rules: the pack `default` first, unless it is left out."""
    return (() if no_default else ("default",)) + tuple(rules or ())


def shapes(inputs: Sequence[str] | None) -> dict[str, tuple[int, ...]]:
    """`NAME=1x3x224x224` for each input; the name may contain `=`."""
    shapes = {}
    for text in inputs or ():
        name, _, sizes = text.rpartition("=")
        try:
            shapes[name] = tuple(int(size) for size in sizes.split("x")) if sizes else ()
        except ValueError:
            name = ""
        if not name or any(size < 1 for size in shapes.get(name, (0,))):
            raise UsageError(f"--input {text}: not a name and a shape.", hint="Write it as --input NAME=1x3x224x224, all sizes 1 or more.")
    return shapes


def constants(texts: Sequence[str] | None) -> "dict[str, np.ndarray]":
    """`NAME=VALUE` for each input, the value as JSON: a number or nested lists."""
    import json

    import numpy as np

    values = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        try:
            values[name] = np.array(json.loads(value), np.float64)
        except ValueError:
            name = ""
        if not name:
            raise UsageError(f"--constant {text}: not a name and a value.", hint="Write it as --constant 'NAME=[1,3]', the value as JSON.")
    return values


def tolerances(texts: Sequence[str] | None) -> dict[str, float]:
    """`NAME=VALUE` for each tolerance."""
    values = {}
    for text in texts or ():
        name, _, value = text.partition("=")
        try:
            values[name] = float(value)
        except ValueError:
            raise UsageError(f"--tolerance {text}: not a name and a number.", hint="Write it as --tolerance sqnr=1.") from None
    return values
