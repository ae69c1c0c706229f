"""`bridge tune`: the smallest float set for a target."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli_convert import INTERRUPTED
from bridge.cli_options import CustomOps, Inputs, Json, Metrics, Model, Preprocess, Rules, Signature, Threads, constants, shapes
from bridge.recovery_names import DEFAULT_RECOVERY, RECOVERY_NAMES


def tune(
    model: Model,
    target: Annotated[str, typer.Option(help="What the file must reach, as a gate: 'sqnr>=30', 'top1_drop<=0.005', 'metric:psnr:drop<=0.2'.")],
    calibration: Annotated[
        str, typer.Option(metavar="DATA", help="Data for the ranges: .npz with one array per input, .npy, a folder of pictures, or module:function.")
    ],
    evaluation: Annotated[str | None, typer.Option(metavar="DATA", help="Data for the trials; without it a quarter of --calibration.")] = None,
    budget: Annotated[
        list[str] | None, typer.Option(help="What that may cost, as a gate: 'float_mac_share<=0.1', 'size<=16000000', 'latency<=5'; repeat for more.")
    ] = None,
    choice: Annotated[
        list[str] | None,
        typer.Option(
            help="Precision that nodes may get instead of int8; repeat for more.  [default: float32, dynamic_wi8_afp32]", show_default=False
        ),
    ] = None,
    level: Annotated[str, typer.Option(help="What moves together: node, block, pattern or op_type.")] = "node",
    observer: Annotated[
        list[str] | None,
        typer.Option(help="What makes ranges; the best of them is taken.  [default: min_max, percentile, mse]", show_default=False),
    ] = None,
    recover: Annotated[list[str] | None, typer.Option(help=f"Method of accuracy recovery, of {', '.join(RECOVERY_NAMES)}; repeat for more.")] = None,
    no_recover: Annotated[bool, typer.Option("--no-recover", help="No accuracy recovery.")] = False,
    rules: Rules = None,
    metric: Metrics = None,
    trials: Annotated[int, typer.Option(min=1, help="At most so many trials.")] = 60,
    samples: Annotated[int | None, typer.Option(min=1, help="Evaluation samples of each trial; without it what target and model call for.")] = None,
    workers: Annotated[int, typer.Option(min=1, help="Processes that run trials.")] = 1,
    dask: Annotated[str | None, typer.Option(metavar="ADDRESS", help="Run trials on the workers of this Dask scheduler, tcp://host:8786.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Folder for the results.  [default: <stem>.tune]", show_default=False)] = None,
    preprocess: Preprocess = None,
    inputs: Inputs = None,
    signature: Signature = None,
    constant: Annotated[list[str] | None, typer.Option(help="Fix an input that decides a shape, as 'axes=[1,2]'; repeat for more.")] = None,
    custom_ops: CustomOps = None,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Find the smallest set of nodes that has to be wider than int8 for a target, and write it as a rule file."""
    from bridge.progress_bars import ProgressBars
    from bridge.tune.tune import DEFAULT_CHOICES, DEFAULT_OBSERVERS
    from bridge.tune.tune import tune as search

    with ProgressBars() as progress:
        result = search(
            model,
            target=target,
            calibration=calibration,
            evaluation=evaluation,
            budgets=tuple(budget or ()),
            choices=tuple(choice or DEFAULT_CHOICES),
            level=level,
            observers=tuple(observer or DEFAULT_OBSERVERS),
            recover=tuple(recover or (() if no_recover else DEFAULT_RECOVERY)),
            rules=tuple(rules or ()),
            metrics=tuple(metric or ()),
            trials=trials,
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

        from bridge.tune.terminal import show

        show(result, Console())
    if result.report.interrupted:
        raise typer.Exit(INTERRUPTED)
    if not result.report.met:
        raise typer.Exit(5)
