import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge import frontends, graph
from bridge.compare import OnnxRunner
from bridge.errors import InputError, ToolError, UnsupportedModelError, UsageError
from bridge.types import SourceModel

torch = pytest.importorskip("torch", reason="the extra `torch` is not installed")
nn = torch.nn

X = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    def __init__(self) -> None:
        super().__init__()
        self.norm, self.fc, self.act, self.drop = nn.LayerNorm(6), nn.Linear(6, 6), nn.GELU(), nn.Dropout(0.5)

    def forward(self, x: object) -> object:
        return x + self.drop(self.act(self.fc(self.norm(x))))


class Net(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.stages = nn.Sequential(Block(), Block())
        self.head = nn.Linear(6, 3)

    def forward(self, tokens: object) -> object:
        return self.head(self.stages(tokens))


class Branching(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    def forward(self, x: Any) -> object:
        if x.sum() > 0:
            return x * 2
        return x


class Bessel(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    def forward(self, x: object) -> object:
        return torch.special.bessel_j0(x)


def expected(net: Net) -> np.ndarray:
    with torch.no_grad():
        result: np.ndarray = net.eval()(X).numpy()
    return result


def check(source: SourceModel, net: Net) -> None:
    runner = OnnxRunner(source.proto)
    assert source.framework == "torch"
    assert [spec.name for spec in runner.inputs] == ["tokens"]
    (output,) = runner.outputs
    np.testing.assert_allclose(runner.run({"tokens": X.numpy()})[output], expected(net), atol=1e-5)
    assert source.confirm is not None
    source.confirm(runner.run)


def test_a_module_in_training_is_exported_for_inference_and_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Net().train()
    net.stages[0].norm.eval()
    modes = [part.training for part in net.modules()]
    source = frontends.load(net, input_shapes={}, example_inputs=(X,))
    assert [part.training for part in net.modules()] == modes
    check(source, net)


def test_rules_see_module_paths_and_classes() -> None:
    source = frontends.load(Net(), input_shapes={}, example_inputs={"tokens": X})
    scopes = {(node.op_type, node.scope) for node in graph.normalize(source, input_shapes={}).nodes}
    assert {("LayerNormalization", f"stages/{place}/norm") for place in (0, 1)} <= scopes
    assert {("Gelu", f"stages/{place}/act") for place in (0, 1)} <= scopes


@pytest.mark.parametrize("kind", ["program", "program file", "script", "script file", "compiled"])
def test_every_other_form_of_a_module_is_read(kind: str, tmp_path: Path) -> None:
    net = Net().eval()
    path = tmp_path / ("net.pt2" if kind == "program file" else "net.pt")
    source: object
    if kind.startswith("program"):
        source = torch.export.export(net, (X,))
        if kind == "program file":
            torch.export.save(source, path)
            source = path
    elif kind == "compiled":
        source = torch.compile(net)
    else:
        with pytest.warns(FutureWarning):
            source = torch.jit.trace(net, X)
        if kind == "script file":
            with pytest.warns(FutureWarning):
                torch.jit.save(source, path)
            source = str(path)
    live = kind in ("script", "compiled")
    check(frontends.load(source, input_shapes={} if live else {"tokens": (2, 6)}, example_inputs=(X,) if live else None), net)


def test_a_module_is_traced_with_random_inputs_of_given_shapes() -> None:
    net = Net().eval()
    check(frontends.load(net, input_shapes={"tokens": (2, 6)}), net)


def test_what_the_exporter_got_wrong_is_no_success() -> None:
    source = frontends.load(Net(), input_shapes={}, example_inputs=(X,))
    runner = OnnxRunner(source.proto)
    assert source.confirm is not None
    with pytest.raises(ToolError, match="Net: what torch's exporter wrote computes something else than the module at output"):
        source.confirm(lambda feeds: {name: value + np.float32(0.1) for name, value in runner.run(feeds).items()})


def test_an_input_that_is_an_output_too_keeps_its_name() -> None:
    class Passing(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
        def forward(self, a: Any, b: object) -> object:
            return a, a + b

    source = frontends.load(Passing(), input_shapes={}, example_inputs=(X, X))
    runner = OnnxRunner(source.proto)
    assert [spec.name for spec in runner.inputs] == ["a", "b"]
    assert source.confirm is not None
    source.confirm(runner.run)


@pytest.mark.provokes("float-width")
def test_a_float64_module_is_confirmed_in_float32() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.ReLU()).double()
    source = frontends.load(net, input_shapes={}, example_inputs=(torch.randn(1, 2, 8, dtype=torch.float64),))
    narrow = graph.narrowed(source.proto)
    assert narrow is not None
    assert source.confirm is not None
    source.confirm(OnnxRunner(narrow).run)
    assert {"float-width"} <= {finding.code for finding in graph.normalize(source, input_shapes={}).diagnostics}


class FakeQuantized(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
    """Every spelling: numbers, tensors of one element, per channel, a part of the range."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.fc = nn.Linear(6, 3)
        self.scale, self.point = nn.Parameter(torch.tensor([0.05])), nn.Parameter(torch.tensor([3.0]))
        self.register_buffer("scales", self.fc.weight.detach().abs().amax(1) / 7)

    def forward(self, x: Any) -> object:
        x = torch.fake_quantize_per_tensor_affine(x, self.scale, self.point.to(torch.int32), -128, 127)
        weight = torch.fake_quantize_per_channel_affine(self.fc.weight, self.scales, torch.zeros(3, dtype=torch.int32), 0, -7, 7)
        return torch.fake_quantize_per_tensor_affine(nn.functional.linear(x, weight, self.fc.bias), 0.02, 128, 0, 255)


def test_fake_quantization_becomes_the_quantization_of_the_file() -> None:
    net = FakeQuantized()
    source = frontends.load(net, input_shapes={}, example_inputs=(X,))
    assert source.confirm is not None
    source.confirm(OnnxRunner(source.proto).run)
    split = graph.split_quantization(source.proto)
    assert split is not None
    assert {(stored.type, stored.scales, stored.zero_points) for stored in split.said.activations.values()} == {
        ("INT8", (float(np.float32(0.05)),), (3,)),
        ("INT8", (float(np.float32(0.02)),), (0,)),
    }
    (weight,) = split.said.weights.values()
    assert weight.scales == tuple(map(float, net.scales.numpy()))
    assert len(split.said.integer_nodes) == 1


def test_a_range_that_no_integer_type_has_is_refused() -> None:
    class Odd(nn.Module):  # type: ignore[misc, name-defined]  # torch is loaded by name
        def forward(self, x: Any) -> object:
            return torch.fake_quantize_per_tensor_affine(x, 0.1, 0, -(2**20), 2**20)

    with pytest.raises(UnsupportedModelError, match="fits no integer type of ONNX"):
        frontends.load(Odd(), input_shapes={}, example_inputs=(X,))


def test_without_examples_the_missing_inputs_are_named() -> None:
    with pytest.raises(UsageError, match=r"Net: tracing needs an example of every input\. Missing: tokens\.") as caught:
        frontends.load(Net(), input_shapes={})
    assert "--input tokens=1x3x224x224" in caught.value.hint


@pytest.mark.provokes("module-fails")
def test_examples_that_do_not_fit_are_shown() -> None:
    with pytest.raises(UsageError, match=r"Net: the module does not run on the example inputs \(\(2, 5\) torch.float32\)"):
        frontends.load(Net(), input_shapes={}, example_inputs=(torch.zeros(2, 5),))


@pytest.mark.provokes("data-dependent-code")
def test_the_line_that_cannot_be_traced_is_named() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"Branching: torch.export cannot trace the module in Branching at test_torch_source.py:\d+: `if x.sum"
    ):
        frontends.load(Branching(), input_shapes={}, example_inputs=(X,))


def test_an_operator_without_translation_is_named_with_its_module() -> None:
    net = nn.Sequential(nn.Linear(6, 6), Bessel())
    with pytest.raises(UnsupportedModelError, match=r"no translation for prims\.bessel_j0\. It is in 1 \(.*Bessel\)"):
        frontends.load(net, input_shapes={}, example_inputs=(X,))


def test_weights_without_a_program_are_refused(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights.pt: holds weights or pickled Python objects, no program") as caught:
        frontends.load(tmp_path / "weights.pt", input_shapes={})
    assert "bridge.convert(module" in caught.value.hint


@pytest.mark.parametrize("name", ["net.pt2", "net.ts"])
def test_a_broken_archive_is_one_sentence(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK no archive")
    with pytest.raises(InputError, match="is no PyTorch archive"):
        frontends.load(path, input_shapes={})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/code/__torch__.py", "nothing")
    with pytest.raises(InputError, match=r"torch cannot read it|no part of a program"):
        frontends.load(path, input_shapes={"x": (1,)})
    with pytest.raises(InputError, match="no such file"):
        frontends.load(tmp_path / "absent.pt2", input_shapes={})


def test_the_order_of_imports_that_ends_the_process_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    monkeypatch.delitem(sys.modules, "torch._dynamo")
    with pytest.raises(UsageError, match="TensorFlow was loaded before PyTorch's compiler"):
        frontends.load(Net(), input_shapes={}, example_inputs=(X,))


def test_without_torch_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "net.pt2", "w") as archive:
        archive.writestr("net/data", "")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "bridge.frontends.torch_export", raising=False)
    monkeypatch.delattr(frontends, "torch_export", raising=False)
    with pytest.raises(UsageError, match=r"net\.pt2: reading it needs PyTorch") as caught:
        frontends.load(tmp_path / "net.pt2", input_shapes={})
    assert "tflite-bridge[torch]" in caught.value.hint
