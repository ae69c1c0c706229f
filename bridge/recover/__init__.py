"""Accuracy recovery: changed ranges and constants that bring the quantized file nearer to the float file."""

from bridge.recover.recovery import METHODS, Outcome, Recovered, recover
from bridge.recover.trials import DEFAULT_BUDGET, Job

__all__ = ["DEFAULT_BUDGET", "METHODS", "Job", "Outcome", "Recovered", "recover"]
