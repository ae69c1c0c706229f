"""Commands, options, files and folders."""

from bridge.findings.kind import error, warning

KINDS = (
    error(
        "bad-usage",
        "An option or a combination of options cannot work.",
        cause="A value is misspelt or out of its bounds, or two options exclude each other.",
        example="error: There is no observer 'minmax'.",
        cure="The message names the value, the hint those that are allowed. `bridge COMMAND --help` lists all options.",
    ),
    error(
        "bad-input",
        "A file or a value that was given does not fit.",
        cause="The file belongs to something else, is of another kind or holds what the command cannot use.",
        example="error: ranges.json: the ranges belong to another float model. Received: 0a1b2c3d4e5f..., needed: 5f4e3d2c1b0a....",
        cure="Give the file that the message asks for.",
    ),
    error(
        "missing-package",
        "A package that this source or format needs is not installed.",
        cause="PyTorch, TensorFlow, onnx2tf and pyarrow are not part of the core installation.",
        example="error: Reading a PyTorch model needs torch, which is not installed.",
        cure="Run the command of the hint, for example `uv sync --extra torch`.",
    ),
    error(
        "output-folder",
        "The results cannot be written where they should go.",
        cause="The folder holds files of somebody else, is a file, or may not be written.",
        example="error: results: the output folder holds other files.",
        cure="Give another folder with `--output`, or `--force` where its files may stay beside the results.",
    ),
    error(
        "gate-not-met",
        "The converted model is worse than a gate allows.",
        cause="`--gate` or a baseline asks for more than was measured.",
        example="error: 1 of 2 gates not met: sqnr>=40 (31.2).",
        cure="The report names the layers that lose most and a rule for each. `bridge convert --recover` and 16-bit activations help further.",
    ),
    error(
        "tool-failed",
        "A tool that bridge starts failed or ran out of time.",
        cause="onnxruntime, LiteRT or onnx2tf cannot run the model, or what it gives is not what the model says.",
        example="error: onnxruntime cannot run the model: Non-zero status code returned while running Gather node.",
        cure="The message quotes the tool. Run the model in that tool alone; where it fails there too, the model has to change.",
    ),
    error(
        "file-system",
        "The system does not read or write a file.",
        cause="The disk is full, a folder may not be written, or a device is gone.",
        example="error: /mnt/out/report.json: No space left on device.",
        cure="Make room, check the permissions, or write elsewhere with `--output`.",
    ),
    error(
        "out-of-memory",
        "The machine has not enough memory for this model and these data.",
        cause="Large inputs, or many tensors that are compared at once.",
        example="error: There is not enough memory for this model and these data.",
        cure="Smaller sizes with `--input`, fewer `--layer-samples`, less with `--memory`.",
    ),
    error(
        "library-crashed",
        "A native library ended the process.",
        cause="onnxruntime, LiteRT or another library crashed on a damaged file, or the system ended the process for its memory.",
        example="error: bridge ended by SIGSEGV: a native library crashed on a model or on data. Nothing was written.",
        cure="Check where the model comes from, fetch or export it again. `bridge inspect` reads a model without running it.",
    ),
    error(
        "internal-error",
        "Something in bridge itself broke.",
        cause="A fault of bridge, not of the model.",
        example="error: The quantized file cannot be read back.",
        cure="Report it with the command and, if possible, the model.",
    ),
    warning(
        "baseline-differs",
        "The baseline was made in another way.",
        cause="Versions, data or options of the stored report are not those of this run, so figures may differ for that reason.",
        example="warning: The baseline was measured on other samples. Baseline: old/report.json.",
        cure="Store a new baseline with the versions and data of today.",
    ),
)
