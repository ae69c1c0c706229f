"""Model files, and the ways from PyTorch and TensorFlow to ONNX."""

from bridge.findings.kind import error, info

KINDS = (
    error(
        "model-not-found",
        "There is no such model file.",
        cause="The path is misspelt, or relative to another folder.",
        example="error: model.onx: there is no such file.",
        cure="Check the path.",
    ),
    error(
        "model-unreadable",
        "The file is no model, or it is damaged.",
        cause="A download was cut off, a Git LFS pointer was not replaced by its file, the ending of the name is wrong, or the file holds weights without a program.",
        example="error: model.onnx: is not an ONNX model, or it is cut off (132 bytes).",
        cure="Fetch or export the file again. For weights alone build the module in Python, load them and call `bridge.convert(module, ...)`.",
    ),
    error(
        "code-in-file",
        "The file holds code or Python objects, which are never run or loaded.",
        cause="A Keras Lambda layer stores the byte code of its function, a pickle names what it calls, a program can write files. A stranger's could do anything.",
        example="error: net.keras: holds Python code, which is never run: 'scale' (Lambda).",
        cure="Where you trust the file, load it in Python and call `bridge.convert(model)`. Write a Lambda as a layer class, save tensors instead of objects.",
    ),
    error(
        "model-invalid",
        "The model contradicts itself.",
        cause="A tool wrote a graph that ONNX or TFLite does not allow: a name that nothing gives, one that is given twice, a cycle.",
        example="error: model.onnx: node 'add' (Add) reads 'x_1', which neither the model nor an earlier node gives.",
        cure="Export the model again with a newer exporter; `onnx.checker.check_model` tells the same.",
    ),
    error(
        "already-quantized",
        "The TFLite file is quantized already.",
        cause="`bridge convert` was given the result of an earlier quantization.",
        example="error: model.tflite: is quantized already: tensor 'conv' is INT8 with a scale.",
        cure="Give the float model that it was made from. `bridge compare` takes quantized files.",
    ),
    error(
        "unknown-source",
        "Nothing reads a source of this kind.",
        cause="The ending of the file is not known, or the object is neither a PyTorch nor a Keras model.",
        example="error: Nothing here reads a source of type .caffemodel.",
        cure="Export to ONNX with the framework's own tool. The hint lists what is read.",
    ),
    error(
        "missing-example-inputs",
        "The model has to be traced, and it is not known with what.",
        cause="PyTorch modules, subclassed Keras models and tf.functions without a signature do not know their inputs.",
        example="error: Net: tracing needs an example of every input. Missing: x.",
        cure="Give `example_inputs=(x,)` in Python, or `--input x=1x3x224x224`.",
    ),
    error(
        "module-fails",
        "The model does not run on the example inputs.",
        cause="Their shape or type is not what the model takes (float64 from NumPy, NHWC pictures), or parts of it are on different devices.",
        example="error: Net: the module does not run on the example inputs ((1, 4) torch.float64), in 'head.0' (Linear) at net.py:12: mat1 and mat2 must have the same dtype.",
        cure="Run the model on the same inputs yourself first. NumPy makes float64: `x.astype(numpy.float32)`.",
    ),
    error(
        "no-weights",
        "The module has no values, only shapes.",
        cause="It was built on the meta device and its weights were never loaded.",
        example="error: Net: 2 parameters are on the meta device and have no values: 'fc.weight', 'fc.bias'.",
        cure="Build it on the CPU, or `module.to_empty(device='cpu')` and load the state dict.",
    ),
    error(
        "no-tensor-output",
        "The model returns nothing that could be an output.",
        cause="`forward` returns numbers, text or nothing instead of tensors, as `.item()` and `.tolist()` make them.",
        example="error: Net: forward returns int, no tensor.",
        cure="Return tensors: leave out `.item()`, and compute on the result outside of the model.",
    ),
    error(
        "data-dependent-code",
        "The code of the model looks at the values of its tensors.",
        cause="`if x.sum() > 0`, `range(x.item())`, `x[mask]` or `.numpy()`: tracing sees one path, or none.",
        example="error: Net: torch.export cannot trace the module in 'decoder' (Decoder) at net.py:21 in forward: `for _ in range(n.item()):`. Could not guard on data-dependent expression.",
        cure="Use `torch.where`, `torch.cond` or a fixed number of rounds; or export the part before and the part after on their own.",
    ),
    error(
        "export-failed",
        "The framework cannot write the model as ONNX.",
        cause="The exporter (torch.onnx, tf2onnx) has no translation for an operator, or fails itself.",
        example="error: Net: torch's ONNX exporter has no translation for aten.special_bessel_j0. It is in act (Bessel).",
        cure="Write the operation with others that ONNX has, or cut it off: convert the part before it.",
    ),
    error(
        "export-differs",
        "The exported model does not compute what the model computes.",
        cause="The exporter has a fault, or the model is random or keeps a state between calls.",
        example="error: Net: what torch's exporter wrote computes something else than the module at output 'y'.",
        cure="Check that two calls of the model give the same. Then export in another way and convert that file.",
    ),
    info(
        "illegal-operator",
        "The file uses something that ONNX does not define, and what it means was put in.",
        cause="An older exporter wrote it.",
        example="info: The file uses Swish, an operator that ONNX does not have, 3 times; it was replaced by its definition.",
        cure="Nothing; a newer exporter writes standard operators.",
    ),
)
