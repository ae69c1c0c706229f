"""How closely two float runtimes can agree on a tensor, and so what proves that they compute the same."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from bridge.agreement import agreement_db
from bridge.convert.ownership import ONNX_MOVEMENT_OPS
from bridge.types import NodeFacts

# Float kernels of the two runtimes agree to 90 dB and more; tensors that do not belong together stay far below 40 dB.
PROOF_DB = 60.0
# Below it no agreement proves anything.
LEAST_DB = 30.0
# The rounding of every layer adds to that of the inputs.
MARGIN_DB = 6.0
# onnxruntime's Sigmoid of -17 is 0 and that of TFLite 4e-8: their approximations are good to 2 ** -22 of the range, not of the value.
BOUNDED_OPS = frozenset({"Erf", "Sigmoid", "Softmax", "Tanh"})
BOUNDED_ERROR = 2.0**-22


class Proof(Struct, frozen=True):
    """What two values have to agree to.

    Attributes:
        level_db: least SQNR.
        error: root mean square of the difference that two correct runtimes may have, in the tensor's unit; 0 where only the SQNR counts.
    """

    level_db: float = PROOF_DB
    error: float = 0.0

    def energy_tolerance(self) -> float:
        """Relative difference that `level_db` allows between two sums of squares: twice that of the values, and some room."""
        return 3.0 * math.pow(10.0, -self.level_db / 20)

    def sum_tolerance(self, size: int, energy: float) -> float:
        """Difference that `level_db` allows between the sums of two values: by Cauchy and Schwarz the root of `size` times that of the noise, and some room.

        Args:
            size: elements.
            energy: sum of the squares of the reference.
        """
        return 1.5 * math.sqrt(size * energy) * math.pow(10.0, -self.level_db / 20)

    def agreement(self, reference: np.ndarray, candidate: np.ndarray) -> float | None:
        """SQNR in dB of a candidate that is proved, None for any other.

        Args:
            reference: [P, elements] from onnxruntime.
            candidate: [P, elements] from the TFLite file, paired by its name where `error` is to count.
        """
        found = agreement_db(reference, candidate)
        if found >= self.level_db:
            return found
        if self.error and reference.shape == candidate.shape and rms(reference.astype(np.float64) - candidate) <= self.error:
            return found
        return None


# What most tensors are held to.
ORDINARY = Proof()


def rms(value: np.ndarray) -> float:
    """Root mean square over all elements."""
    return float(np.sqrt(np.mean(np.square(value))))


def bounded(nodes: Sequence[NodeFacts]) -> dict[str, Proof]:
    """Proof of the tensors whose operator is exact to a part of its range; moving their elements changes nothing."""
    found: dict[str, Proof] = {}
    for node in nodes:
        if node.op_type in BOUNDED_OPS or (node.op_type in ONNX_MOVEMENT_OPS and node.inputs[0].name in found):
            found |= {tensor.name: Proof(error=BOUNDED_ERROR) for tensor in node.outputs}
    return found


def rounded_otherwise(probe: Mapping[str, np.ndarray], *, seed: int) -> dict[str, np.ndarray]:
    """The probe with its float values one rounding (2 ** -23 of the value) up or down at random; integers stay."""
    rng = np.random.default_rng(seed)
    return {
        name: value * (1 + rng.choice(np.array([-1, 1], value.dtype), value.shape) * value.dtype.type(2.0**-23)) if value.dtype.kind == "f" else value
        for name, value in probe.items()
    }


def amplified(values: Mapping[str, np.ndarray], others: Mapping[str, np.ndarray]) -> dict[str, Proof]:
    """Proof of the float tensors that amplify rounding, from the values of the probes and of the probes `rounded_otherwise`.

    A model fed far outside of its training data can be chaotic: two runs of onnxruntime, with and without its optimizer, agree on the output
    of a super-resolution net (SCET) for N(0, 1) noise to 45 dB only.
    """
    found = {}
    for name, value in values.items():
        if name in others and value.dtype.kind == "f":
            level = agreement_db(value, others[name]) - MARGIN_DB
            if level < PROOF_DB:
                found[name] = Proof(level_db=max(level, LEAST_DB))
    return found
