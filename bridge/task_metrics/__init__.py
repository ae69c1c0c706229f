"""How good a model is at its task: metrics over outputs and truth, built in or the user's own, for the float and the quantized model alike."""

from bridge.task_metrics.find import BUILT_IN, AnyMetric, check_metrics, find_metrics
from bridge.task_metrics.measurement import Measurement, TaskResult
from bridge.task_metrics.metric import TaskMetric, metric

__all__ = ["BUILT_IN", "AnyMetric", "Measurement", "TaskMetric", "TaskResult", "check_metrics", "find_metrics", "metric"]
