"""Runs inside the environment of litert-torch: a network as a PyTorch module and its calibration samples in, an int8 TFLite file out.

    python bench_commands_in_litert_torch.py JOB.json

litert-torch starts from PyTorch modules, so the nodes and the weights of a normalised ONNX file become one. Quantization is that of its documentation:
PT2E with symmetric int8 per channel, static.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import litert_torch
import numpy as np
import torch
from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
from litert_torch.quantize.quant_config import QuantConfig
from torch.nn import functional
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

type Values = Sequence[Any]
type Options = Mapping[str, Any]


def convolution(inputs: Values, options: Options) -> Any:
    """ONNX pads each side by itself, PyTorch both alike, so where they differ there is a pad before.

    A pad before every convolution ends litert-torch 0.10.0: "Attempting to convert non-NHWC compatible node to NHWC: dequantize_per_tensor_1".
    """
    data, weight, *bias = inputs
    rank = weight.dim() - 2
    pads = options.get("pads", [0] * 2 * rank)
    if pads[:rank] != pads[rank:]:
        data, pads = functional.pad(data, [size for axis in reversed(range(rank)) for size in (pads[axis], pads[axis + rank])]), [0] * rank
    steps = {name: options.get(other, [1] * rank) for name, other in (("stride", "strides"), ("dilation", "dilations"))}
    call = functional.conv1d if rank == 1 else functional.conv2d
    return call(data, weight, bias[0] if bias else None, padding=pads[:rank], groups=options.get("group", 1), **steps)


def product(inputs: Values, options: Options) -> Any:
    """Gemm without alpha and beta, which models that are normalised do not have."""
    data, weight, *bias = inputs
    return functional.linear(data, weight if options.get("transB") else weight.T, bias[0] if bias else None)


FUNCTIONS: Mapping[str, Callable[[Values, Options], Any]] = {
    "Add": lambda inputs, _: inputs[0] + inputs[1],
    "AveragePool": lambda inputs, options: functional.avg_pool2d(inputs[0], options["kernel_shape"], options.get("strides", [1, 1])),
    "Conv": convolution,
    "Flatten": lambda inputs, options: inputs[0].flatten(options.get("axis", 1)),
    "Gemm": product,
    "GlobalAveragePool": lambda inputs, _: inputs[0].mean((2, 3), keepdim=True),
    "Identity": lambda inputs, _: inputs[0],
    "MatMul": lambda inputs, _: inputs[0] @ inputs[1],
    "Mul": lambda inputs, _: inputs[0] * inputs[1],
    "Relu": lambda inputs, _: functional.relu(inputs[0]),
    "Reshape": lambda inputs, options: inputs[0].reshape(options["shape"]),
    "Softmax": lambda inputs, options: functional.softmax(inputs[0], options.get("axis", -1)),
    "Transpose": lambda inputs, options: inputs[0].permute(options["perm"]),
}


class Net(torch.nn.Module):  # type: ignore[misc]  # torch is an extra: mypy sees Any
    """The nodes one after the other."""

    def __init__(self, job: Mapping[str, Any]) -> None:
        super().__init__()
        self.nodes, self.input, self.output = job["nodes"], job["input"], job["output"]
        with np.load(job["weights"]) as weights:
            self.names = list(weights)
            self.values = torch.nn.ParameterList([torch.nn.Parameter(torch.from_numpy(weights[name])) for name in self.names])

    def forward(self, data: Any) -> Any:
        known = dict(zip(self.names, self.values, strict=True)) | {self.input: data}
        for node in self.nodes:
            known[node["output"]] = FUNCTIONS[node["op"]]([known[name] for name in node["inputs"]], node["options"])
        return known[self.output]


def main() -> None:
    """Converts."""
    job = json.loads(Path(sys.argv[1]).read_text())
    unknown = sorted({node["op"] for node in job["nodes"]} - set(FUNCTIONS))
    if unknown:
        raise NotImplementedError(f"no PyTorch function here for {', '.join(unknown)}")
    with np.load(job["samples"]) as archive:
        samples = [torch.from_numpy(np.ascontiguousarray(row)).reshape(job["shape"]) for row in archive[job["sample_name"]]]
    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True, is_dynamic=False))
    prepared = prepare_pt2e(torch.export.export(Net(job).eval(), (samples[0],)).module(), quantizer)
    with torch.no_grad():
        for sample in samples:
            prepared(sample)
    quantized = convert_pt2e(prepared, fold_quantize=False)
    litert_torch.convert(quantized, (samples[0],), quant_config=QuantConfig(pt2e_quantizer=quantizer)).export(job["file"])


if __name__ == "__main__":
    main()
