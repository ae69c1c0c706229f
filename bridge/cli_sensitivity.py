"""`bridge sensitivity`: what int8 takes from the outputs, node by node."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli_options import CustomOps, Inputs, Json, Model, Preprocess, Rules, Signature, Threads, constants, shapes
from bridge.observer_names import DEFAULT_OBSERVER


def sensitivity(
    model: Model,
    calibration: Annotated[
        str, typer.Option(metavar="DATA", help="Data for the ranges: .npz with one array per input, .npy, a folder of pictures, or module:function.")
    ],
    evaluation: Annotated[str | None, typer.Option(metavar="DATA", help="Data to measure with; without it a quarter of --calibration.")] = None,
    method: Annotated[
        str,
        typer.Option(help="propagation (three runs), own (one run of every operator by itself), one-quantized or one-float (a trial for each)."),
    ] = "propagation",
    level: Annotated[str, typer.Option(help="What is ranked: node, block, pattern or op_type.")] = "node",
    observer: Annotated[str, typer.Option(help="What makes ranges.")] = DEFAULT_OBSERVER,
    rules: Rules = None,
    samples: Annotated[int | None, typer.Option(min=1, help="Evaluation samples; without it 16, and for trials what the model calls for.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that run trials.")] = 1,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Run trials on the workers of this Dask scheduler, tcp://host:8786.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for the results.  [default: <stem>.sensitivity]", show_default=False)
    ] = None,
    preprocess: Preprocess = None,
    inputs: Inputs = None,
    signature: Signature = None,
    constant: Annotated[list[str] | None, typer.Option(help="Fix an input that decides a shape, as 'axes=[1,2]'; repeat for more.")] = None,
    custom_ops: CustomOps = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Rank nodes, blocks, patterns or operators by what int8 takes from the outputs in them."""
    from bridge.progress_bars import ProgressBars
    from bridge.tune.sensitivity import sensitivity as ranking

    with ProgressBars() as progress:
        result = ranking(
            model,
            calibration=calibration,
            evaluation=evaluation,
            method=method,
            level=level,
            observer=observer,
            rules=tuple(rules or ()),
            samples=samples,
            workers=workers,
            dask=dask,
            output_dir=output,
            preprocess=preprocess,
            input_shapes=shapes(inputs),
            signature=signature,
            constants=constants(constant),
            seed=seed,
            threads=threads,
            progress=progress,
        )
    if json:
        sys.stdout.write(result.report.to_json())
    else:
        from rich.console import Console

        from bridge.tune.sensitivity_page import show

        show(result, Console())
