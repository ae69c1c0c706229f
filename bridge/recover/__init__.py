"""Accuracy recovery: changed ranges and constants that bring the quantized file nearer to the float file."""

from bridge.recover.equalize import METHOD as EQUALIZATION
from bridge.recover.equalize import equalize
from bridge.recover.outcome import Outcome
from bridge.recover.recovery import METHODS, Recovered, recover
from bridge.recover.trials import DEFAULT_BUDGET, Job

__all__ = ["DEFAULT_BUDGET", "EQUALIZATION", "METHODS", "Job", "Outcome", "Recovered", "equalize", "recover"]
