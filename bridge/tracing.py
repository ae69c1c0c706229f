"""`bridge trace`: what a model computes, saved to be compared without running it again."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bridge.calibrate import Calibration, Dataset
from bridge.compare import ModelRun, Run, TFLiteRun, bind_inputs, record
from bridge.convert.tensor_map_file import check_tensor_map, read_tensor_map
from bridge.errors import UsageError
from bridge.progress import Progress, Silent
from bridge.samples import find_sources, first_sample, open_samples
from bridge.sources import open_model, open_reference
from bridge.tflite import model as tflite
from bridge.tflite.trial import open_file
from bridge.types import TensorMap, TensorSpec


def trace(
    model: object,
    output: Path | str,
    *,
    data: Path | str | Calibration,
    preprocess: str | Path | None = None,
    tensor_map: Path | str | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
    samples: int = 16,
    threads: int = 2,
    progress: Progress | None = None,
) -> Path:
    """Saves what a model computes for some samples: an `.npz` with one array [samples, *shape] of real values per tensor.

    Args:
        model: what `convert` takes, or any `.tflite` file, also a quantized one.
        output: the `.npz` file.
        data: samples in the layout of the model.
        preprocess: how the pictures of a folder become inputs.
        tensor_map: gives the tensors of a `.tflite` file the names and the layout of the model that it came from; data are in that layout too.
        input_shapes: sizes for inputs with dynamic dimensions, by name.
        example_inputs: what a live model is traced with, as for `convert`.
        signature: which signature of a SavedModel.
        samples: at most so many, spread evenly.
        threads: of each run.
        progress: told about the work; silent if None.

    Returns:
        The path of the `.npz` file.

    Raises:
        UsageError: a file or the data cannot be used.
        ToolError: the model does not run.
    """
    progress = progress or Silent()
    (source,) = find_sources(data, preprocess=preprocess)
    run: Run
    if isinstance(model, Path | str) and Path(model).suffix == ".tflite":
        run = _tflite_run(Path(model), source, None if tensor_map is None else read_tensor_map(Path(tensor_map)), samples, threads)
    else:
        opened = open_model(model, input_shapes=input_shapes, example_inputs=example_inputs, signature=signature, first_sample=first_sample(source))
        chosen = _chosen(open_samples(source, opened.graph), samples)
        run = ModelRun(open_reference(opened.reference, [chosen[0]], threads=threads)[0], chosen)
    progress.stage("trace", len(run))
    record(run, Path(output), progress=progress.advance)
    return Path(output)


def _tflite_run(path: Path, source: Calibration | None, tensor_map: TensorMap | None, samples: int, threads: int) -> TFLiteRun:
    model = open_file(path)
    if tensor_map is not None:
        check_tensor_map(tensor_map, model, where="the tensor map")
        specs = tuple(TensorSpec(binding.onnx_name, binding.onnx_shape, binding.dtype) for binding in tensor_map.inputs)
    else:
        inputs = tflite.named_inputs(model).items()
        quantized = {name for name, tensor in inputs if tensor.quantization is not None and tensor.quantization.scale is not None}
        specs = tuple(
            TensorSpec(name, tflite.shape(tensor), "float32" if name in quantized else tflite.dtype(tensor).name) for name, tensor in inputs
        )
    if source is None:
        raise UsageError("There are no samples to trace.", hint="Give --data.", code="data-count")
    chosen = _chosen(source.dataset(specs), samples)
    bindings = tensor_map.inputs if tensor_map is not None else bind_inputs(chosen[0], model, where=str(path))
    return TFLiteRun(path, chosen, bindings=bindings, tensor_map=tensor_map, threads=threads)


def _chosen(samples: Dataset, count: int) -> Dataset:
    return samples.subset([position * len(samples) // count for position in range(count)]) if len(samples) > count else samples
