"""The error tree. Every failure that a user can cause is one of these and ends in one sentence, a hint and an exit code.

BridgeError                 1  something in bridge itself broke
|-- UsageError              2  an option, a path or a combination that cannot work
|   |-- InputError          2  a model or data file that cannot be read or does not fit
|   `-- RuleError           2  a rule file that is malformed, or a rule that matches nothing
|-- UnsupportedModelError   3  the model is readable but cannot be converted; names every cause
|-- ToolError               4  an outside tool (onnx2tf, onnxruntime, LiteRT) failed or timed out
`-- GateError               5  a gate was not met
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

# Why a model does not become a TFLite file, one word for each class of reasons; stable, for tables and scripts.
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
        causes: classes of reasons why a model cannot be converted, empty for other failures.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "", causes: Sequence[Cause] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.causes = tuple(causes)


class UsageError(BridgeError):
    """An option, a path or a combination of them that cannot work."""

    exit_code = 2


class InputError(UsageError):
    """A model or data file that cannot be read, or data that does not fit the model."""


class RuleError(UsageError):
    """A rule file that is malformed, or a rule that matches nothing."""


class UnsupportedModelError(BridgeError):
    """The model is readable but cannot become TFLite; the message names every cause."""

    exit_code = 3


class ToolError(BridgeError):
    """An outside tool failed or ran out of time; the message names its log."""

    exit_code = 4


class GateError(BridgeError):
    """A gate was not met."""

    exit_code = 5
