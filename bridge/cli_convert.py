"""`bridge convert`: one model, or several in one run."""

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from bridge import ahead, heap
from bridge.cli_options import (
    Baseline,
    CustomOps,
    End,
    Gates,
    Github,
    Inputs,
    Json,
    LayerSamples,
    Memory,
    Metrics,
    NoDefaultRules,
    Preprocess,
    Rules,
    Signature,
    Start,
    Tolerance,
    constants,
    instead_of,
    packs,
    shapes,
    tolerances,
)
from bridge.observer_names import DEFAULT_OBSERVER
from bridge.recovery_names import DEFAULT_RECOVERY, RECOVERY_NAMES

if TYPE_CHECKING:
    from bridge.batch import BatchModel
    from bridge.conversion_result import ConversionResult
    from bridge.report.summary import Summary

INTERRUPTED = 130  # what shells expect after Ctrl-C
THREADS = 2


def convert(
    models: Annotated[
        list[Path] | None,
        typer.Argument(
            help="The model: .onnx, .pt2 (torch.export), TorchScript (.pt, .ts; with --input), .keras, .h5, a SavedModel folder, or a float .tflite. "
            "Several are converted in one run, with one summary of all.",
            show_default=False,
        ),
    ] = None,
    calibration: Annotated[
        str | None,
        typer.Option(metavar="DATA", help="Data for the ranges: .npz with one array per input, .npy, a folder of pictures, or module:function."),
    ] = None,
    evaluation: Annotated[str | None, typer.Option(metavar="DATA", help="Data for the comparison; `labels` in it give the task accuracy.")] = None,
    preprocess: Preprocess = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="Folder for the results, with one inside for each of several models.  [default: <stem>.bridge, bridge-batch for several]",
            show_default=False,
        ),
    ] = None,
    rules: Rules = None,
    no_default_rules: NoDefaultRules = False,
    precision: Annotated[str, typer.Option(help="Precision of everything that no rule names.")] = "static_wi8_ai8",
    inputs: Inputs = None,
    signature: Signature = None,
    constant: Annotated[list[str] | None, typer.Option(help="Fix an input that decides a shape, as 'axes=[1,2]'; repeat for more.")] = None,
    start: Start = None,
    end: End = None,
    custom_ops: CustomOps = None,
    input_layout: Annotated[Literal["auto", "keep", "nhwc"], typer.Option(help="Layout of image inputs in the TFLite file.")] = "auto",
    via: Annotated[
        Literal["direct", "tensorflow"], typer.Option(help="How onnx2tf writes the float file; tensorflow: SavedModel, then TensorFlow's converter.")
    ] = "direct",
    saved_model: Annotated[bool, typer.Option("--saved-model", help="Keep the SavedModel of --via tensorflow in the results.")] = False,
    input_dtype: Annotated[Literal["float32", "int8", "uint8"], typer.Option(help="Type of float inputs in the quantized file.")] = "float32",
    output_dtype: Annotated[Literal["float32", "int8", "uint8"], typer.Option(help="Type of float outputs likewise.")] = "float32",
    observer: Annotated[
        str, typer.Option(help="How ranges are made of the data: min_max, moving_average, percentile (or percentile:99.9), entropy, mse.")
    ] = DEFAULT_OBSERVER,
    recover: Annotated[
        list[str] | None,
        typer.Option(callback=instead_of("no_recover"), help=f"Method of accuracy recovery, of {', '.join(RECOVERY_NAMES)}; repeat for more."),
    ] = None,
    no_recover: Annotated[
        bool, typer.Option("--no-recover", callback=instead_of("recover"), help="No accuracy recovery, not even the default methods.")
    ] = False,
    ranges: Annotated[Path | None, typer.Option(help="Take the ranges of this ranges.json instead of calibrating.")] = None,
    metric: Metrics = None,
    gate: Gates = None,
    baseline: Baseline = None,
    tolerance: Tolerance = None,
    compare: Annotated[bool, typer.Option("--compare/--no-compare", help="Compare with onnxruntime layer by layer.")] = True,
    layer_samples: LayerSamples = 16,
    memory: Memory = 4096,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads of each run of a model.  [default: 2, or what --jobs leaves for each]", show_default=False)
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that onnx2tf may take.")] = 600.0,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="How many of several models are converted at the same time, each in a process of its own.")
    ] = None,
    dask: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Convert on the Dask cluster of this scheduler, tcp://host:8786; needs the extra distributed."),
    ] = None,
    batch: Annotated[
        Path | None, typer.Option(metavar="FILE", help="TOML list of further models: [[models]] with path = ..., and what is said about one alone.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write into a folder that holds other files.")] = False,
    json: Json = False,
    github: Github = False,
) -> None:
    """Convert models to int8 TFLite, compare every layer, write the reports. In paths of data and rules, {stem} and {dir} stand for the model's."""
    alone = models[0] if models and len(models) == 1 and (jobs, dask, batch) == (None, None, None) else None
    with ahead.started(alone), heap.seldom_collected():  # beside the imports
        with heap.kept():
            from bridge import pipeline
        call = functools.partial(
            pipeline.convert,
            calibration=calibration,
            evaluation=evaluation,
            preprocess=preprocess,
            rules=packs(rules, no_default_rules),
            precision=precision,
            input_shapes=shapes(inputs),
            signature=signature,
            constants=constants(constant),
            start=tuple(start or ()),
            end=tuple(end or ()),
            input_layout=input_layout,
            via=via,
            saved_model=saved_model,
            input_dtype=input_dtype,
            output_dtype=output_dtype,
            observer=observer,
            recover=tuple(recover or (() if no_recover else DEFAULT_RECOVERY)),
            ranges=ranges,
            metrics=tuple(metric or ()),
            gates=tuple(gate or ()),
            baseline=baseline,
            tolerances=tolerances(tolerance),
            compare=compare,
            layer_samples=layer_samples,
            memory_mb=memory,
            seed=seed,
            timeout_s=timeout,
        )
        options = call.keywords | ({} if threads is None else {"threads": threads})
        if alone is not None:
            _convert_one(alone, output, options, force=force, json=json, github=github)
        else:
            from bridge.batch import BatchModel, read_models

            listed = () if batch is None else read_models(batch, default_rules=not no_default_rules)
            chosen = [*map(BatchModel, models or ()), *listed]
            _convert_many(
                chosen, output, {"jobs": jobs or 1, "dask": dask, "custom_ops": custom_ops, "force": force} | options, json=json, github=github
            )


def _convert_one(model: Path, output: Path | None, options: dict[str, Any], *, force: bool, json: bool, github: bool) -> None:
    from bridge import pipeline
    from bridge.placeholders import filled
    from bridge.progress_bars import ProgressBars

    own: dict[str, Any] = {"threads": THREADS} | filled(options, model)
    with ProgressBars() as progress:
        result = pipeline.convert(model, output_dir=output, force=force, progress=progress, **own)
    _show_one(result, json=json, github=github)
    if not result.report.verdict.passed:
        raise typer.Exit(5)


def _show_one(result: "ConversionResult", *, json: bool, github: bool) -> None:
    from rich.console import Console

    from bridge.report import github_report, terminal

    if json:
        sys.stdout.write(result.report.to_json())
    elif not github:
        console = Console()
        terminal.show(result.report, console)
        console.print(f"report  {result.output_dir / 'report.html'}", highlight=False)
    if github:
        github_report.write(result.report, "" if json else f"{terminal.render(result.report)}report  {result.output_dir / 'report.html'}")


def _convert_many(models: "list[BatchModel]", output: Path | None, options: dict[str, Any], *, json: bool, github: bool) -> None:
    from bridge.batch import DEFAULT_FOLDER, convert_many
    from bridge.custom_ops.modules import configured_modules
    from bridge.progress_bars import BatchBar

    options["custom_ops"] = (*configured_modules(Path.cwd()), *(options["custom_ops"] or ()))
    folder = output or Path(DEFAULT_FOLDER)
    with BatchBar() as progress:
        summary = convert_many(models, output_dir=folder, progress=progress, **options)
    _show_many(summary, folder, json=json, github=github)
    if summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _show_many(summary: "Summary", folder: Path, *, json: bool, github: bool) -> None:
    from rich.console import Console

    from bridge.report import github_report, read_report, summary_formats

    where = f"summary  {folder / 'summary.html'}"
    if json:
        sys.stdout.write(summary.rows_json())
    elif github:
        sys.stdout.write(github_report.inert(f"{summary_formats.text(summary)}{where}"))
    elif (console := Console()).is_terminal:
        summary_formats.show(summary, console)
        console.print(where, highlight=False)
    else:
        sys.stdout.write(f"{summary_formats.text(summary)}{where}\n")
    if github:
        stream = sys.stderr if json else sys.stdout
        for row in summary.models:
            stream.write(
                github_report.render(read_report(folder / row.name / "report.json")) if row.has_report else github_report.failure(row.name, row.error)
            )
