"""The `task_metrics` block: what each metric measured, and what the quantized file lost."""

import math

from bridge.report.schema import TaskMetric


def task_metric(measured: object) -> TaskMetric:
    """A row of the report from any value with the attributes of `TaskMetric`, all but `drop`."""
    fields = {name: getattr(measured, name) for name in TaskMetric.model_fields if name != "drop"}
    lost = loss(fields["float_value"], fields["value"])
    return TaskMetric(drop=lost if fields["better"] == "higher" else -lost, **fields)


def loss(before: float, after: float) -> float:
    """`before - after`, 0 for equal ones, infinity too; NaN where one of both is."""
    if math.isnan(before) or math.isnan(after):
        return math.nan
    return 0.0 if before == after else round(before - after, 12)  # 0.95 - 0.94 is 0.01 to whoever writes a gate
