"""What the comparison with the source model finds, beyond its figures."""

from bridge.findings.kind import error, info, warning

KINDS = (
    warning(
        "first-divergence",
        "From this layer on the result is another one.",
        cause="Conversion error: the float file computes something else. Own error: rounding this layer loses too much.",
        example="warning: The first layer that goes wrong is 'conv2' ('y2'): own error 8.1 dB, expected at least 15 dB.",
        cure="Own error: keep the node float by a rule, or look at its range. Conversion error: try `--via tensorflow`; rules cannot help.",
    ),
    error(
        "non-finite-output",
        "An output holds NaN or infinity where the model has none.",
        cause="A division or logarithm of what integers round to 0, or an overflow.",
        example="error: Output 'y' is not finite in 3 of 32 samples.",
        cure="`bridge compare` names the first layer that goes wrong: keep it float by a rule.",
    ),
    warning(
        "labels-out-of-range",
        "The labels name classes that the model does not have.",
        cause="They are counted from 1, belong to another model, or the output is no score per class.",
        example="warning: labels go up to 10, the output 'y' has 10 classes.",
        cure="Save labels counted as the model counts its classes, from 0.",
    ),
    info(
        "files-not-aligned",
        "The quantized file has other operators than the float file, so there are no errors of single layers.",
        cause="It was made from another file, or its tool fuses operators.",
        example="info: The float file and the quantized file do not run the same operators in the same order, so there are only errors end to end.",
        cure="Give the float file that it was made from.",
    ),
    info(
        "compared-without-delegate",
        "Layers were compared on the builtin kernels.",
        cause="XNNPACK does not run the file with its tensors shown.",
        example="info: XNNPACK does not run the float file with all its tensors shown, so it is compared on the builtin kernels.",
        cure="Nothing.",
    ),
    warning(
        "memory-budget",
        "The comparison takes more memory than it was given.",
        cause="The models alone are larger than `--memory`.",
        example="warning: The models alone take about 5200 MB, so the comparison cannot stay within 4096 MB.",
        cure="Give more with `--memory`, or compare a part with `--from` and `--to`.",
    ),
    warning(
        "kernels-disagree",
        "LiteRT's optimised and reference kernels give different results.",
        cause="Each rounds in its own way, and over many layers that adds up (info). Or one of them is wrong: it has twice the noise of the other (warning).",
        example="warning: 1 output differs between the reference kernels and the optimised ones: 'y' by up to 31 steps of 0.0039, 14.0 dB (against the model 13.6 dB and 31.2 dB).",
        cure="Measure the accuracy on the device. Where one node is to blame, the finding kernel-differs names it: keep it float by a rule.",
        also=("info",),
    ),
    warning(
        "kernel-differs",
        "This node is the first whose reference kernel gives another result.",
        cause="A fault in one of LiteRT's kernels.",
        example="warning: Node 'sum' ('y') is the first whose reference kernel gives another result: by up to 97 steps, 4.0 dB.",
        cure="`bridge ops` shows what is known of the kernels. Keep the node float by a rule.",
    ),
    info(
        "no-reference-kernels",
        "The reference kernels cannot run the file.",
        cause="LiteRT has only optimised ones for an operator.",
        example="info: The reference kernels cannot check the file: LiteRT cannot load it",
        cure="Nothing.",
    ),
    warning(
        "shown-tensors-change-outputs",
        "The file gives other outputs when its tensors are shown.",
        cause="XNNPACK fuses operators in another way then, or a kernel reuses memory that it should not.",
        example="warning: 1 output differs between the file as it is and with its tensors shown: 'y' by up to 12 steps of 0.004, 20.1 dB.",
        cure="Trust the errors of the outputs; those of layers may be others than in the file as it is.",
        also=("info",),
    ),
    warning(
        "kept-tensors-change-outputs",
        "The file gives other outputs with preserve_all_tensors.",
        cause="That switch changes which kernels run. It is tried in files of up to 5,000 operators, where the memory for all tensors is there.",
        example="warning: 1 output differs between the file as it is and with preserve_all_tensors: 'y' by up to 3 steps of 0.004, 38.0 dB.",
        cure="Tools that read tensors that way see others than those of the file; `bridge compare` does not.",
        also=("info",),
    ),
    warning(
        "reference-evaluator",
        "onnxruntime cannot run the model, so ONNX's own evaluator says what is right.",
        cause="onnxruntime lacks a kernel.",
        example="warning: onnxruntime cannot run this model, so ONNX's reference evaluator says what is right: Could not find an implementation for BitShift.",
        cure="It is slow. A newer onnxruntime may have the operators.",
    ),
)
