"""One-operator models for every row of the op table."""

from movement_cases import movement_cases
from recurrent_cases import recurrent_cases
from value_cases import value_cases
from weighted_cases import weighted_cases

CASES = (*weighted_cases(), *value_cases(), *movement_cases(), *recurrent_cases())
