"""The commands: parse, one call of the API, print. Heavy imports happen inside them."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli_convert import convert
from bridge.cli_options import (
    CustomOps,
    End,
    Inputs,
    Json,
    LayerSamples,
    Memory,
    Metrics,
    Model,
    NoDefaultRules,
    Preprocess,
    Rules,
    Signature,
    Start,
    Threads,
    packs,
    shapes,
)
from bridge.cli_report import report_app
from bridge.cli_sensitivity import sensitivity
from bridge.cli_tune import tune
from bridge.indented_json import plain

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help starts in half the time
    context_settings={"help_option_names": ["-h", "--help"]},
    help="PyTorch, TensorFlow and ONNX models as int8 TFLite: rule files keep layers float, every layer is compared.",
)
rules_app = typer.Typer(no_args_is_help=True, help="Rule files: what stays float, and why.")
app.add_typer(rules_app, name="rules")
app.add_typer(report_app, name="report")
app.command()(tune)
app.command()(sensitivity)

ABOUT_THE_MODEL = ("rules", "no_default_rules", "precision", "inputs", "signature", "start", "end")  # options that other commands share with convert


def _configured() -> dict[str, object] | None:
    """Defaults for the commands, from the settings in the current folder."""
    from bridge import configuration

    found = configuration.read(Path.cwd())
    if found is None:
        return None
    own = configuration.defaults(found, convert)
    own.pop("custom_ops", None)  # joined with those of the command line
    shared = {name: value for name, value in own.items() if name in ABOUT_THE_MODEL}
    judging = {name: value for name, value in own.items() if name in ("gate", "baseline", "tolerance")}
    return {"convert": own, "inspect": shared, "compare": shared, "rules": {"explain": shared, "check": shared}, "report": {"gate": judging}}


@app.callback(invoke_without_command=True)
def bridge(context: typer.Context, version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """PyTorch, TensorFlow and ONNX models as int8 TFLite: rule files keep layers float, every layer is compared."""
    context.default_map = _configured()
    if version:
        import importlib.metadata

        typer.echo(importlib.metadata.version("tflite-bridge"))
        raise typer.Exit


app.command()(convert)


@app.command()
def compare(
    reference: Annotated[Path, typer.Argument(help="The float model, in any form that `bridge convert` reads; or a trace, .npz.")],
    candidate: Annotated[Path, typer.Argument(help="The .tflite file; or an .onnx file; or another trace.")],
    data: Annotated[
        str | None,
        typer.Option(help="Samples: .npz with one array per input of the reference, .npy, a folder of pictures, or module:function. Not for traces."),
    ] = None,
    preprocess: Preprocess = None,
    tensor_map: Annotated[Path | None, typer.Option(help="tensor_map.json of the conversion; gives errors per layer.")] = None,
    float_file: Annotated[
        Path | None, typer.Option("--float", help="Float .tflite that the file was quantized from; gives each layer's own error too.")
    ] = None,
    inputs: Inputs = None,
    signature: Signature = None,
    start: Start = None,
    end: End = None,
    custom_ops: CustomOps = None,
    layer_samples: LayerSamples = 16,
    memory: Memory = 4096,
    metric: Metrics = None,
    threads: Threads = 2,
    json: Json = False,
) -> None:
    """Compare a TFLite file with the model it came from, two ONNX models, or two traces."""
    from bridge.comparing import compare as compare_files
    from bridge.progress_bars import ProgressBars

    with ProgressBars() as progress:
        result = compare_files(
            reference,
            candidate,
            data=data,
            preprocess=preprocess,
            tensor_map=tensor_map,
            float_file=float_file,
            input_shapes=shapes(inputs),
            signature=signature,
            start=tuple(start or ()),
            end=tuple(end or ()),
            layer_samples=layer_samples,
            memory_mb=memory,
            metrics=tuple(metric or ()),
            threads=threads,
            progress=progress,
        )
    if json:
        _print(result.to_json())
    else:
        from rich.console import Console

        result.show(Console())


@app.command()
def trace(
    model: Annotated[Path, typer.Argument(help="The model, in any form that `bridge convert` reads, or any .tflite file.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .npz file: one array [samples, ...] per tensor.", show_default=False)],
    data: Annotated[str, typer.Option(help="Samples, as for `bridge compare`.")],
    preprocess: Preprocess = None,
    tensor_map: Annotated[Path | None, typer.Option(help="tensor_map.json: gives a .tflite file the names of the model it came from.")] = None,
    inputs: Inputs = None,
    signature: Signature = None,
    samples: Annotated[int, typer.Option(min=1, help="At most so many samples, spread evenly.")] = 16,
    custom_ops: CustomOps = None,
    threads: Threads = 2,
) -> None:
    """Save what a model computes, to compare it later without running it: `bridge compare a.npz b.npz`."""
    from bridge import tracing
    from bridge.progress_bars import ProgressBars

    with ProgressBars() as progress:
        path = tracing.trace(
            model,
            output,
            data=data,
            preprocess=preprocess,
            tensor_map=tensor_map,
            input_shapes=shapes(inputs),
            signature=signature,
            samples=samples,
            threads=threads,
            progress=progress,
        )
    _print(str(path))


@app.command()
def inspect(
    model: Model,
    rules: Rules = None,
    no_default_rules: NoDefaultRules = False,
    precision: Annotated[str, typer.Option(help="Precision of everything that no rule names.")] = "static_wi8_ai8",
    calibration: Annotated[str | None, typer.Option(metavar="DATA", help="Samples to look at as well, as for `bridge convert`.")] = None,
    preprocess: Preprocess = None,
    inputs: Inputs = None,
    signature: Signature = None,
    start: Start = None,
    end: End = None,
    custom_ops: CustomOps = None,
    json: Json = False,
) -> None:
    """Show what is in a model: operators, patterns, which rule takes which node, and what will go wrong."""
    from bridge.inspect import inspect as inspect_model
    from bridge.inspect import render

    result = inspect_model(
        model,
        rules=packs(rules, no_default_rules),
        precision=precision,
        calibration=calibration,
        preprocess=preprocess,
        input_shapes=shapes(inputs),
        signature=signature,
        start=tuple(start or ()),
        end=tuple(end or ()),
    )
    _print(result.to_json() if json else render(result))


@app.command()
def ops(
    names: Annotated[list[str] | None, typer.Argument(help="TFLite operators to show in detail, for example CONV_2D.")] = None,
    json: Json = False,
) -> None:
    """Show which TFLite operators have kernels in which precision, under which conditions, and what is wrong with the others."""
    from bridge.inspect import kernel_table

    table = kernel_table.kernel_table(tuple(names or ()))
    _print(kernel_table.to_json(table) if json else kernel_table.render(table, details=bool(names)))


@app.command()
def findings(
    codes: Annotated[list[str] | None, typer.Argument(help="Codes to explain, for example mismatched-scales; all without it, one line each.")] = None,
    json: Json = False,
) -> None:
    """Explain what bridge finds wrong with models, data and files: cause, example, cure."""
    from bridge.inspect import finding_table

    kinds = finding_table.finding_table(tuple(codes or ()))
    if json:
        _print_json([plain(kind) for kind in kinds])
    else:
        _print(finding_table.render(kinds, details=bool(codes)))


@rules_app.command("list")
def rules_list(json: Json = False) -> None:
    """List the rule packs that ship with bridge."""
    from bridge.rules import list_packs

    found = list_packs()
    if json:
        _print_json([{"name": pack.name, "description": pack.description, "rules": pack.rules} for pack in found])
        return
    width = max(len(pack.name) for pack in found)
    _print("\n".join(f"{pack.name:{width}}  {pack.rules} rules  {pack.description}" for pack in found))


@rules_app.command("check")
def rules_check(
    files: Annotated[list[str], typer.Argument(help="Rule files or names of packs, in the order of --rules.")],
    model: Annotated[Path | None, typer.Option(help="Also say which rules match nothing in this model.")] = None,
    inputs: Inputs = None,
    signature: Signature = None,
    custom_ops: CustomOps = None,
    json: Json = False,
) -> None:
    """Check rule files: unknown keys, rules that another one always overrules, rules that match nothing."""
    from bridge.rule_checking import check_rules

    findings = check_rules(files, source=model, input_shapes=shapes(inputs), signature=signature)
    if json:
        _print_json([plain(finding) for finding in findings])
    else:
        _print("\n".join(f"{finding.severity}: {finding.message}" for finding in findings) or "No findings.")
    if any(finding.severity == "error" for finding in findings):
        raise typer.Exit(2)


@rules_app.command("explain")
def rules_explain(
    model: Model,
    nodes: Annotated[
        str, typer.Argument(help="Glob over node names or module paths, for example 'encoder.layer.3'; quote it. All nodes without it.")
    ] = "**",
    rules: Rules = None,
    no_default_rules: NoDefaultRules = False,
    precision: Annotated[str, typer.Option(help="Precision of everything that no rule names.")] = "static_wi8_ai8",
    inputs: Inputs = None,
    signature: Signature = None,
    custom_ops: CustomOps = None,
    json: Json = False,
) -> None:
    """Say for every node which rule decided, what it overruled, which rules only just missed, and which kernels the precision lacks."""
    from bridge.inspect import explain
    from bridge.rules import render

    found = explain(model, nodes, rules=packs(rules, no_default_rules), precision=precision, input_shapes=shapes(inputs), signature=signature)
    if json:
        _print_json([plain(one) for one in found])
    else:
        _print(render(found))


@rules_app.command("schema")
def rules_schema() -> None:
    """Print the JSON schema of rule files, for editors."""
    from bridge.rules import json_schema

    _print(json_schema())


def _print(text: str) -> None:
    sys.stdout.write(text if text.endswith("\n") else f"{text}\n")


def _print_json(value: object) -> None:
    import json

    _print(json.dumps(value, indent=1))
