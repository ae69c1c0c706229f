"""Holds what an exporter wrote to what the live model computes."""

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.agreement import agreement_db
from bridge.errors import ToolError
from bridge.types import Confirmation, Run

SAME_DB = 60.0  # what the exported model has to keep of the outputs
# Where both round, sums that differ in their last bit fall on two sides of a tie now and then: transformers of 4 blocks kept 49.8 to 55.5 dB. One int8 step of
# difference in every tenth value is 40 dB or so; a wrong scale or axis leaves less.
SAME_ROUNDED_DB = 40.0


HINT = (
    "Two calls of the model have to give the same: no random numbers, no dropout or batch statistics that are on whatever the mode. If they do, the "
    "exporter has a fault: export in another way and convert that file."
)


def confirmation(
    message: str, names: Sequence[str], feeds: Mapping[str, np.ndarray], outputs: Sequence[np.ndarray], *, rounds: bool = False
) -> Confirmation:
    """Raises `message` with the name of the first output that is another one.

    Args:
        message: who wrote what wrong, as in `Net: what the exporter wrote computes something else than the module`.
        names: outputs of the exported model.
        feeds: input name -> array.
        outputs: what the live model gives for them, in the order of `names`.
        rounds: whether both models quantize values on the way.
    """
    least_db = SAME_ROUNDED_DB if rounds else SAME_DB

    def confirm(run: Run) -> None:
        received = run(feeds)
        for name, expected in zip(names, outputs, strict=True):
            if received[name].shape != expected.shape or agreement_db(expected, received[name]) < least_db:
                raise ToolError(f"{message} at output {name!r}.", hint=HINT, code="export-differs")

    return confirm
