"""Several models in one run: each is converted by a process of its own, here or on a cluster, and has a row in one summary."""

from bridge.batch.convert_many import DEFAULT_FOLDER, convert_many
from bridge.batch.jobs import BatchModel
from bridge.batch.model_list import read_models

__all__ = ["DEFAULT_FOLDER", "BatchModel", "convert_many", "read_models"]
