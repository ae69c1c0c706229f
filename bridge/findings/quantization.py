"""What rounding to integers does to a model, and what it costs."""

from bridge.findings.kind import error, info, warning

KINDS = (
    warning(
        "mismatched-scales",
        "One scale for tensors of different size leaves the smaller one a few steps.",
        cause="CONCATENATION, MAXIMUM and others have one scale for all inputs and the output.",
        example="warning: All inputs get one scale, which 'boxes' (0 .. 320) needs: 'scores' (0 .. 1) keeps 12.0 dB, in a scale of its own 48.9 dB.",
        cure="Paste the rule that the finding brings: float from there on. Or leave the join out of the model and give two outputs.",
    ),
    warning(
        "activation-outliers",
        "A few outliers make the range of a tensor much wider than nearly all of its values need, and the layer loses by it.",
        cause="Attention and residual streams of transformers, exponentials, a sample that is unlike the others.",
        example="warning: 99.9 % of the values of 'blocks.2.add' have 9 of the 244 integers that its outliers reach, and the layer alone keeps 11.2 dB.",
        cure="`--observer percentile:99.99` or `mse` clips them; a rule keeps the node float or gives it 16 bits.",
    ),
    warning(
        "error-accumulates",
        "No layer is bad, but the error grows along the depth of the network.",
        cause="Each of very many layers in a row adds its rounding. Measured: every own error is good, and the error end to end sinks steadily to the outputs.",
        example="warning: The error grows along 182 layers, from 28.3 dB in the first quarter to 17.6 dB in the last, while each of them alone keeps 37.8 dB (median) and none has more than 4% of the noise.",
        cure="16-bit activations (`--precision static_wi8_ai16`) leave only the noise of the weights: a chain of 100 layers goes from 14.5 to 19.6 dB. Quantization-aware training; `bridge tune` finds the fewest layers to keep float.",
    ),
    info(
        "dead-channels",
        "Channels of an activation never change in the float model.",
        cause="They died in training (ReLU), or the samples do not wake them.",
        example="info: Channels of 11 layers have one and the same value in the float model, for all 16 samples: 'pool' (240 of 256).",
        cure="Nothing is lost by them. If the samples are of all kinds, a smaller network would do; else calibrate on more kinds of samples.",
    ),
    warning(
        "wide-sum-error",
        "The sum of many branches has a larger error than each of them.",
        cause="Branches that are added one after the other: each addition rounds the sum so far. Measured: all additions are good, and what they give is not.",
        example="warning: The sum of 64 branches keeps 27.5 dB where they keep 36.9 dB (median): each of its 63 additions rounds it again, and none has more than 2% of that noise.",
        cure="Keep the additions float by a rule: the output of 64 branches goes from 26.6 to 37.3 dB. 16-bit activations give 45.1 dB; adding in pairs rounds each value a few times only.",
    ),
    warning(
        "lost-channels",
        "Half or more of the channels of a layer are constant in the quantized file and alive in the float file.",
        cause="Their values differ by less than a step of the scale that they share with much larger channels, so all of them round to one integer.",
        example="warning: 83 of 128 channels of 'lstm/mul' are constant in the quantized file, for all 16 samples: their values differ by less than the step of the tensor, 0.0078.",
        cure="Keep the node float by a rule or give it 16-bit activations (for the LSTM of DTLN that took the output from 17.8 to 33.2 dB); `--recover equalization`.",
    ),
    warning(
        "saturated-channels",
        "Most values of a channel lie far beyond the range of its tensor.",
        cause="The range was made of other samples or cut by a percentile, and one channel is much larger than the others.",
        example="warning: 1 of 64 channels of 'conv4' lie far beyond the range of the tensor for most of their values.",
        cure="Calibrate on samples like these, use `--observer min_max`, or widen the range by a rule.",
    ),
    warning(
        "clipped-range",
        "Values lie far beyond the range of a tensor and are cut off.",
        cause="The samples of the comparison reach further than those of the calibration, a rule set the range, or range_search cut it because the output kept more so.",
        example="warning: The range of node 'conv3' ('y3') is too small: values reach 2.1 times its width beyond it, and the error is 41.0 steps.",
        cure="Calibrate on samples like these, or set the range by a rule. `--recover bias_correction` leaves ranges as they were calibrated.",
    ),
    info(
        "recovery",
        "What a method of accuracy recovery brought.",
        cause="`--recover` tried it; it is kept only where it helps.",
        example="info: bias-correction: kept, from 24.1 dB to 26.0 dB.",
        cure="Nothing. `--no-recover` leaves all of them out.",
    ),
    warning(
        "quantized-not-faster",
        "The quantized file is not faster than the float file on this machine.",
        cause="Float islands need conversions, or the delegate has no integer kernel for some operators.",
        example="warning: The quantized file takes 3.20 ms, the float file 2.90 ms (one thread, optimised kernels of this machine): 2 QUANTIZE, 2 DEQUANTIZE and 0 TRANSPOSE operators. Most of its time: 29 PRELU of INT8 (66%).",
        cure="Fewer float islands, or operators that the delegate has in int8. The report's table of operators says where time goes; other devices differ.",
    ),
    warning(
        "conversion-cost",
        "QUANTIZE, DEQUANTIZE and TRANSPOSE take a large share of the time.",
        cause="Integer and float layers alternate, or layouts do: each change reads and writes the whole tensor.",
        example="warning: 28% of the time of the quantized file's operators goes into conversions: 38 TRANSPOSE (15%), 19 QUANTIZE (9%), 19 DEQUANTIZE (5%). Most behind 'conv_3'.",
        cure="Keep the float islands together: make a small integer part between two of them float too. Feed NHWC: `--input-layout nhwc`.",
    ),
    error(
        "broken-constraint",
        "A quantized file breaks a rule of its kernels.",
        cause="Another tool wrote scales that the TFLite quantization specification forbids.",
        example="error: model.tflite: operator 3 (CONCATENATION), cannot be right: input 1 has another scale than the output.",
        cure="Make the file again with a newer version of that tool.",
    ),
    error(
        "parameters-differ",
        "A constant in the quantized file is not that of the float file.",
        cause="The files are not of the same training, or a tool damaged the constant.",
        example="error: A constant of 'conv2' is not that of the float file: 3.0 times its step off.",
        cure="Give the float file that the quantized one was made from.",
    ),
)
