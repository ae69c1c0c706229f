"""The command line: a process of its own, onnx2tf started ahead of all imports, the commands, and an exit code for whatever they raise."""

import signal
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from bridge import ahead, heap
from bridge.errors import BridgeError, RuleError, ToolError, UsageError, first_line, printable
from bridge.supervised import ended_by, supervised

MAX_MESSAGE = 3000  # characters; a name in it may have a million


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line and exits with its code; without arguments those of the process, in a child of its own."""
    given = sys.argv[1:] if arguments is None else arguments
    if arguments is None:
        try:
            supervised(lambda: _run(given))
        except ToolError as error:
            _fail(error, as_json="--json" in given)
    _run(given)


def _run(arguments: Sequence[str]) -> None:
    as_json = "--json" in arguments
    try:
        with ended_by(signal.SIGTERM, signal.SIGHUP), ahead.started(_model(arguments)):
            with heap.kept():
                from bridge.cli_commands import app
            app(args=list(arguments), prog_name="bridge")
    except SystemExit as end:  # Typer turns Ctrl-C into an exit without a word
        if isinstance(getattr(end.__context__, "__cause__", None), KeyboardInterrupt):
            sys.stderr.write("interrupted: nothing was written.\n")
        raise
    except BridgeError as error:
        _fail(error, as_json=as_json)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        message = f"{where}{error.strerror or first_line(error)}."
        _fail(UsageError(message, hint="Check the disk, the path and the permissions.", code="file-system"), as_json=as_json)
    except MemoryError:
        message = "There is not enough memory for this model and these data."
        _fail(UsageError(message, hint="A smaller --input shape, fewer --layer-samples.", code="out-of-memory"), as_json=as_json)
    except Exception as error:  # noqa: BLE001  # a fault of bridge: all there is to report it with
        traceback.print_exc()
        message = f"bridge itself failed: {type(error).__name__}: {first_line(error)}"
        _fail(BridgeError(message, hint="Report it with the command and the lines above."), as_json=as_json)


def _fail(error: BridgeError, *, as_json: bool) -> NoReturn:
    """One sentence, what helps and where more stands, with `--json` on stdout too; names of a model's parts may hold whatever a terminal obeys."""
    message = error.message if isinstance(error, RuleError) else " ".join(error.message.split("\n"))
    sys.stderr.write(f"error: {printable(message)[:MAX_MESSAGE]}\n")
    if error.hint:
        sys.stderr.write(f"hint: {printable(error.hint)[:MAX_MESSAGE]}\n")
    for finding in error.findings:
        if finding.severity == "warning":
            sys.stderr.write(f"warning: {printable(f'{finding.message} {finding.hint}')[:MAX_MESSAGE]}\n")
    sys.stderr.write(f"more: bridge findings {' '.join(dict.fromkeys(finding.code for finding in error.findings))}\n")
    if as_json:
        import json

        sys.stdout.write(f"{json.dumps(error.as_dict(), indent=1)}\n")
    raise SystemExit(error.exit_code) from None


def _model(arguments: Sequence[str]) -> str | None:
    """The one model that `bridge convert MODEL --options` converts; other orders are for the command to understand, which starts onnx2tf too."""
    command, model, option = (*arguments[:3], "", "", "")[:3]
    return model if command == "convert" and model and not model.startswith("-") and option[:1] in ("", "-") else None
