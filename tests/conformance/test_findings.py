"""Every finding about a kernel still holds: the reasons for constraints, conditions and missing rows."""

import numpy as np
import pytest
from findings import FINDINGS, Finding
from one_op import differences, with_forms

from bridge.errors import ToolError


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.id)
def test_finding_holds(finding: Finding) -> None:
    model = with_forms(finding.op, finding.forms, finding.version)
    for kernels, expected in finding.expect.items():
        if isinstance(expected, str):
            with pytest.raises(ToolError, match=expected):
                differences(model, finding.op.samples(), kernels)
            continue
        worst = float(np.abs(differences(model, finding.op.samples(), kernels)[0]).max())
        assert worst <= 1.02 if expected == 0.0 else worst >= expected, f"{kernels}: {worst:.2f} steps off"
