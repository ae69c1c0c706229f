"""PyTorch models as ONNX; the only file of this package that imports torch."""

import contextlib
import hashlib
import importlib.util
import inspect
import io
import logging
import os
import pickle
import re
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np
import onnx
import torch

from bridge.errors import InputError, UnsupportedModelError, UsageError, first_line
from bridge.frontends import torch_failures
from bridge.frontends.archives import check_archive, is_archive
from bridge.frontends.confirmation import confirmation
from bridge.frontends.program_archive import check_program
from bridge.frontends.source_options import SourceOptions
from bridge.frontends.torch_translations import translations
from bridge.types import SourceModel

FRAMEWORK = "torch"
FILE_OPERATORS = re.compile(r"\baten::(save|from_file)\b")
WRAPPERS = ("_orig_mod", "module")  # torch.compile, DataParallel


def from_object(source: Any, options: SourceOptions) -> SourceModel:
    """A live module or exported program. A module is exported in eval mode and left as it was found.

    Raises:
        UsageError: there are no example inputs, or they do not fit.
        UnsupportedModelError: the exporter cannot trace the module, or has no translation for an operator; names the module.
    """
    _refuse_llvm_clash()
    if isinstance(source, torch.export.ExportedProgram):
        return _from_program(source, where="the exported program", outputs=None)
    module = unwrapped(source)
    where = type(module).__name__
    if isinstance(module, torch.jit.ScriptModule):
        return _from_script(module, options, where=where, digest=None)
    _refuse_meta(module, where=where)
    args, kwargs = _examples(module.forward, options, where=where, device=_device(module))
    with _in_eval_mode(module), torch.no_grad():
        expected = _outputs(module, args, kwargs, where=where)
        program = _traced(module, args, kwargs, where=where)
        return _from_program(program, where=where, outputs=expected)


def from_program_file(source: str | Path, _options: SourceOptions) -> SourceModel:
    """A `.pt2` file.

    Raises:
        InputError: torch cannot read it.
    """
    path = _archive(source)
    check_program(path)
    _refuse_llvm_clash()
    try:
        with _quiet(), _weights_only():
            program = torch.export.load(path)
    except pickle.UnpicklingError as error:  # torch's own message says how to run what is in there
        raise InputError(
            f"{path}: holds pickled Python objects, which are never loaded.", hint="Give a file whose samples are tensors.", code="code-in-file"
        ) from error
    except Exception as error:  # whatever a broken archive leads to inside of torch
        raise InputError(
            f"{path}: torch cannot read it: {first_line(error)}", hint="Give the file that torch.export.save wrote.", code="model-unreadable"
        ) from error
    return _from_program(program, where=str(path), outputs=None, path=path)


def from_script_file(source: str | Path, options: SourceOptions) -> SourceModel:
    """A TorchScript file; its inputs need shapes.

    Raises:
        InputError: torch cannot read it, or it holds no program.
    """
    path = _archive(source)
    if not any("/code/" in name for name in check_archive(path)):
        raise InputError(
            f"{path}: holds weights or pickled Python objects, no program.",
            hint="Build the module in Python, load the weights into it and call bridge.convert(module, example_inputs=...).",
            code="model-unreadable",
        )
    try:
        with _quiet():
            module = torch.jit.load(path, map_location="cpu").eval()  # which a damaged one has no flag for
            text = str(module.inlined_graph)
    except Exception as error:  # whatever a broken archive leads to inside of torch
        raise InputError(
            f"{path}: torch cannot read it: {first_line(error)}", hint="Give the file that torch.jit.save wrote.", code="model-unreadable"
        ) from error
    if touching := FILE_OPERATORS.search(text):
        raise InputError(
            f"{path}: its program reads or writes files ({touching[0]}), which no model has to do.",
            hint="Do not run this file.",
            code="code-in-file",
        )
    return _from_script(module, options, where=str(path), digest=hashlib.sha256(path.read_bytes()).hexdigest(), path=path)


@contextlib.contextmanager
def _weights_only() -> Iterator[None]:
    """torch.export.load asks for the full unpickler where the restricted one fails; the variable wins over what it asks."""
    variable = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
    before = os.environ.get(variable)
    os.environ[variable] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


def _archive(source: str | Path) -> Path:
    path = Path(source)
    if not path.exists():
        raise InputError(f"{path}: there is no such file.", hint="Check the path of the model.", code="model-not-found")
    if not is_archive(path):
        raise InputError(
            f"{path}: is no PyTorch archive, or it is cut off.",
            hint="Give the file that torch.export.save or torch.jit.save wrote.",
            code="model-unreadable",
        )
    return path


def _refuse_llvm_clash() -> None:
    """Triton's LLVM, which torch's compiler loads, ends a process that has TensorFlow's already; the other order works."""
    if "tensorflow" in sys.modules and "torch._dynamo" not in sys.modules and importlib.util.find_spec("triton") is not None:
        raise UsageError(
            "TensorFlow was loaded before PyTorch's compiler: with Triton installed that order ends the process (both bring LLVM).",
            hint="Put `import torch._dynamo` before `import tensorflow`.",
        )


def _from_program(program: Any, *, where: str, outputs: Sequence[np.ndarray] | None, path: Path | None = None) -> SourceModel:
    try:
        with _quiet():
            proto = torch.onnx.export(program, dynamo=True, verbose=False, custom_translation_table=translations(torch.ops.aten)).model_proto
    except Exception as error:  # the exporter's errors have no common class that is public
        raise UnsupportedModelError(torch_failures.untranslated(program, error, where), hint=_UNTRANSLATED_HINT, code="export-failed") from error
    names = [spec.arg.name for spec in program.graph_signature.input_specs if spec.kind is torch.export.graph_signature.InputKind.USER_INPUT]
    _name_inputs(proto, names)
    examples = program.example_inputs
    feeds = None if examples is None else dict(zip(names, map(_array, _flat(examples)), strict=False))
    if outputs is None and examples is not None:
        with torch.no_grad():
            outputs = [_array(value) for value in _flat(program.module()(*examples[0], **examples[1]))]
    return _source_model(proto, path=path, digest=None, where=where, feeds=feeds, outputs=outputs)


def _from_script(module: Any, options: SourceOptions, *, where: str, digest: str | None, path: Path | None = None) -> SourceModel:
    """By the TorchScript exporter: the newer one reads no TorchScript."""
    names = [argument.name for argument in module.forward.schema.arguments[1:]]
    args, kwargs = _examples(None, options, where=where, device=torch.device("cpu"), names=names)
    values = (*args, *(kwargs[name] for name in names[len(args) :] if name in kwargs))
    with _in_eval_mode(module), torch.no_grad():
        expected = _outputs(module, values, {}, where=where)
        buffer = io.BytesIO()
        try:
            with _quiet():
                torch.onnx.export(module, values, buffer, dynamo=False, verbose=False, input_names=names[: len(values)], opset_version=18)
        except Exception as error:  # the exporter's errors have no common class that is public
            raise UnsupportedModelError(
                f"{where}: torch's TorchScript exporter cannot translate it: {first_line(error)}", code="export-failed"
            ) from error
    proto = onnx.load_from_string(buffer.getvalue())
    feeds = dict(zip(names, map(_array, values), strict=False))
    return _source_model(proto, path=path, digest=digest, where=where, feeds=feeds, outputs=expected)


def _source_model(
    proto: onnx.ModelProto,
    *,
    path: Path | None,
    digest: str | None,
    where: str,
    feeds: Mapping[str, np.ndarray] | None,
    outputs: Sequence[np.ndarray] | None,
) -> SourceModel:
    found = digest or hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest()
    names = [value.name for value in proto.graph.output]
    message = f"{where}: what torch's exporter wrote computes something else than the module"
    rounds = any(node.op_type == "QuantizeLinear" for node in proto.graph.node)
    confirm = None if feeds is None or outputs is None else confirmation(message, names, feeds, outputs, rounds=rounds)
    return SourceModel(proto=proto, digest=found, path=path, framework=FRAMEWORK, confirm=confirm)


def unwrapped(module: Any) -> Any:
    """The module inside of what torch.compile and the data-parallel wrappers make of it."""
    for name in WRAPPERS:
        if type(module).__name__ in ("OptimizedModule", "DataParallel", "DistributedDataParallel") and hasattr(module, name):
            module = getattr(module, name)
    return module


def _device(module: Any) -> Any:
    first = next(iter((*module.parameters(), *module.buffers())), None)
    return torch.device("cpu") if first is None else first.device


@contextlib.contextmanager
def _in_eval_mode(module: Any) -> Iterator[None]:
    """The mode of every submodule is put back: some may have been frozen on purpose."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _examples(forward: Any, options: SourceOptions, *, where: str, device: Any, names: Sequence[str] = ()) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Positional inputs and inputs by name; random ones where only shapes are known."""
    given = options.example_inputs
    if given is None:
        names = names or [name for name, one in inspect.signature(forward).parameters.items() if one.default is inspect.Parameter.empty]
        missing = [name for name in names if name not in options.input_shapes]
        if missing:
            raise UsageError(
                f"{where}: tracing needs an example of every input. Missing: {', '.join(missing)}."
                + (f" Received shapes of: {', '.join(options.input_shapes)}." if options.input_shapes else ""),
                hint=f"Give example_inputs, or shapes, such as input_shapes={{'{missing[0]}': (1, 3, 224, 224)}} or --input {missing[0]}=1x3x224x224.",
                code="missing-example-inputs",
            )
        generator = torch.Generator().manual_seed(0)
        return tuple(torch.randn(options.input_shapes[name], generator=generator).to(device) for name in names), {}
    if isinstance(given, Mapping):
        return (), {name: _tensor(value, device) for name, value in given.items()}
    if not isinstance(given, tuple | list):
        given = (given,)
    return tuple(_tensor(value, device) for value in given), {}


def _tensor(value: Any, device: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = torch.from_numpy(value)
    return value.detach().to(device) if isinstance(value, torch.Tensor) else value


def _outputs(module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], *, where: str) -> list[np.ndarray]:
    values = (*args, *kwargs.values())
    try:
        result = module(*args, **kwargs)
        found = [_array(value) for value in _flat(result)]
    except Exception as error:  # the user's own code
        shapes = ", ".join(f"{tuple(value.shape)} {value.dtype}" if hasattr(value, "shape") else repr(value) for value in values)
        raise UsageError(
            f"{where}: the module does not run on the example inputs ({shapes}){torch_failures.place(module, error)}: {first_line(error)}",
            hint=torch_failures.advice(module, values, error),
            code="module-fails",
        ) from error
    others = [type(value).__name__ for value in torch.utils._pytree.tree_leaves(result) if not isinstance(value, torch.Tensor | NoneType)]
    if others or not found:
        received = f"{', '.join(others)} among {len(found)} tensors" if found else ", ".join(others) or "nothing"
        raise UnsupportedModelError(
            f"{where}: forward has to return tensors and nothing else. Received: {received}.",
            hint="Leave out .item(), .tolist(), int() and len() at its end, or wrap it in a module that returns the tensors alone.",
            code="no-tensor-output",
        )
    return found


def _refuse_meta(module: Any, *, where: str) -> None:
    """Weights that only have shapes."""
    empty = [name for name, value in (*module.named_parameters(), *module.named_buffers()) if value.is_meta]
    if empty:
        more = f" and {len(empty) - 3} more" if len(empty) > 3 else ""
        raise UsageError(
            f"{where}: {len(empty)} weights are on the meta device and have no values: {', '.join(map(repr, empty[:3]))}{more}.",
            hint="Build the module on the CPU, or module.to_empty(device='cpu') and then load_state_dict; accelerate's empty weights have to be loaded.",
            code="no-weights",
        )


def _traced(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, where: str) -> Any:
    try:
        with _quiet():
            return torch.export.export(module, args, kwargs, strict=False)
    except Exception as error:  # what tracing meets in the user's code
        raise UnsupportedModelError(
            f"{where}: torch.export cannot trace the module{torch_failures.place(module, error)}. {first_line(error)}",
            hint="What depends on the values of tensors cannot be traced: use torch.where, torch.cond or a fixed number of rounds, "
            "or export the parts before and behind it on their own.",
            code="data-dependent-code",
        ) from error


_UNTRANSLATED_HINT = "Write the operation with others that ONNX has, or give torch.onnx.export a translation and convert the .onnx file."


def _name_inputs(proto: onnx.ModelProto, names: Sequence[str]) -> None:
    """Gives the inputs the names that `forward` has: the exporter renames one that is an output as well."""
    outputs = {value.name for value in proto.graph.output}
    for value, name in zip(proto.graph.input, names, strict=False):
        if value.name != name:
            swapped = {value.name: name} | ({name: f"{name}_output"} if name in outputs else {})
            for node in proto.graph.node:
                node.input[:] = [swapped.get(one, one) for one in node.input]
                node.output[:] = [swapped.get(one, one) for one in node.output]
            for spec in (*proto.graph.input, *proto.graph.output):
                spec.name = swapped.get(spec.name, spec.name)


def _flat(values: Any) -> list[Any]:
    leaves, _ = torch.utils._pytree.tree_flatten(values)
    return [value for value in leaves if isinstance(value, torch.Tensor)]


def _array(value: Any) -> np.ndarray:
    result: np.ndarray = value.detach().cpu().numpy()
    return result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """The exporters warn about packages they do not find and about their own future."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
