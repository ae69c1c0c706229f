"""The error tree. Every failure that a user can cause is one of these and ends in one sentence, a hint and an exit code.

Each has a code of bridge/findings, and says as findings what is wrong where.

BridgeError                 1  something in bridge itself broke
|-- UsageError              2  an option, a path or a combination that cannot work
|   |-- InputError          2  a model or data file that cannot be read or does not fit
|   `-- RuleError           2  a rule file that is malformed, or a rule that matches nothing
|-- UnsupportedModelError   3  the model is readable but cannot be converted; names every cause
|-- ToolError               4  an outside tool (onnx2tf, onnxruntime, LiteRT) failed or timed out
`-- GateError               5  a gate was not met
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal, override

from msgspec.structs import asdict, replace

from bridge.findings import Diagnostic

# Why a model does not become a TFLite file, one word for each class of reasons: codes of bridge/findings/conversion.py, for tables and scripts.
type Cause = Literal[
    "constant-output",  # nothing depends on an input
    "control-flow",
    "dynamic-shape",  # a shape depends on data
    "empty-tensor",  # an input has no elements
    "foreign-domain",  # an operator that is not of the ONNX standard
    "graph-pass",  # a rewriting failed on this model
    "no-reference",  # neither onnxruntime nor ONNX's evaluator can run the model
    "no-tflite-operator",
    "no-tflite-type",
    "onnx2tf-failed",
    "onnx2tf-timeout",
    "outputs-differ",  # the TFLite file does not compute what the reference computes
    "random",
    "sequence",  # sequence or optional values
    "string",
    "tflite-fails",  # LiteRT cannot load or run the file
    "too-large",
    "training",
    "unknown-operator",  # not in this version of ONNX
]


def first_line(error: BaseException) -> str:
    """What an outside tool says first; the class of an error that says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def printable(text: str) -> str:
    """The text with control, direction and other unprintable characters as escapes; line ends stay."""
    return "".join(sign if sign.isprintable() or sign == "\n" else sign.encode("unicode_escape").decode() for sign in text)


class BridgeError(Exception):
    """A failure with a message for people.

    Args:
        message: where it happened, what is wrong and what was received, in one sentence.
        hint: the command or the edit that helps; empty when there is none.
        code: of the kind of failure, in the table of bridge/findings; the first cause, or the code of the class, where none is given.
        causes: classes of reasons why a model cannot be converted, empty for other failures.
        findings: what is wrong, one for each place; the message as one finding where none are given.
    """

    exit_code: ClassVar[int] = 1
    usual_code: ClassVar[str] = "internal-error"

    def __init__(self, message: str, *, hint: str = "", code: str = "", causes: Sequence[Cause] = (), findings: Sequence[Diagnostic] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.causes = tuple(causes)
        self._code, self._given = code, tuple(findings)
        self._noted: tuple[Diagnostic, ...] = ()

    @property
    def code(self) -> str:
        """Of the kind of failure."""
        return self._code or (self.causes[0] if self.causes else self.usual_code)

    @property
    def findings(self) -> tuple[Diagnostic, ...]:
        """What is wrong, at least one, and what was found before."""
        return (*(self._given or self._from_message()), *self._noted)

    def _from_message(self) -> tuple[Diagnostic, ...]:
        return (Diagnostic(self.code, "error", self.message, self.hint),)

    def advise(self, sentence: str) -> None:
        """Adds to the hint, and to that of each finding.

        Args:
            sentence: what helps.
        """
        self._given = tuple(replace(finding, hint=f"{finding.hint} {sentence}".strip()) for finding in self._given or self._from_message())
        self.hint = f"{self.hint} {sentence}".strip()

    def note(self, findings: Sequence[Diagnostic]) -> None:
        """Adds what was found before the failure, and may explain it.

        Args:
            findings: to come behind those of the failure.
        """
        self._noted = (*self._noted, *findings)

    def as_dict(self) -> dict[str, object]:
        """What `--json` prints instead of a result."""
        failure = {"code": self.code, "exit_code": self.exit_code, "message": self.message, "hint": self.hint}
        return {"error": failure, "diagnostics": [asdict(finding) for finding in self.findings]}


class UsageError(BridgeError):
    """An option, a path or a combination of them that cannot work."""

    exit_code = 2
    usual_code = "bad-usage"


class InputError(UsageError):
    """A model or data file that cannot be read, or data that does not fit the model."""

    usual_code = "bad-input"


class RuleError(UsageError):
    """A rule file that is malformed, or a rule that matches nothing; the message has a line for each fault."""

    usual_code = "rule-file"

    @override
    def _from_message(self) -> tuple[Diagnostic, ...]:
        return tuple(Diagnostic(self.code, "error", line, self.hint) for line in self.message.split("\n"))


class UnsupportedModelError(BridgeError):
    """The model is readable but cannot become TFLite; the message names every cause."""

    exit_code = 3
    usual_code = "unsupported-model"


class ToolError(BridgeError):
    """An outside tool failed or ran out of time; the message names its log."""

    exit_code = 4
    usual_code = "tool-failed"


class GateError(BridgeError):
    """A gate was not met."""

    exit_code = 5
    usual_code = "gate-not-met"


@contextlib.contextmanager
def noted(findings: Sequence[Diagnostic]) -> Iterator[None]:
    """Failures of the block know what was found before it."""
    try:
        yield
    except BridgeError as error:
        error.note(findings)
        raise
