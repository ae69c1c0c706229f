"""Decides where a Keras model rounds: what the rules leave integer, what the kernels want, and what they compute together."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from bridge.qat.handlers import places
from bridge.qat.keras_operators import FUSED, FUSING, PRODUCTS, KerasOperator, is_normalization, known
from bridge.qat.keras_sites import Site, origin
from bridge.qat.scheme import PRECISION, Scheme
from bridge.quantize.clusters import is_clustered
from bridge.quantize.op_table import OPS, Scales

INPUT, OUTPUT = "input", "output"
FUSED_VALUE = ""  # in place of the quantizer of a value that no file has


@dataclass(slots=True)
class SitePlan:
    """What one call rounds; the names are those of quantizers.

    Attributes:
        inputs: of what it reads, by position; None where nothing has to be done.
        output: of what it gives, likewise.
        weights: its weights that are rounded: name of the attribute -> axes of the output channels, none of them for one scale.
        reads: the quantizer of the first input, whose scale is in that of the bias.
        normalization: key of the call whose BatchNormalization its weight takes in.
        folded: whether it is such a BatchNormalization.
    """

    inputs: list[str | None] = field(default_factory=list)
    output: str | None = None
    weights: dict[str, list[int]] = field(default_factory=dict)
    reads: str | None = None
    normalization: str | None = None
    folded: bool = False


@dataclass(slots=True)
class QuantizerPlan:
    """One quantizer of activations."""

    fixed: tuple[float, int] | None = None
    symmetric: bool = False


@dataclass(slots=True)
class Plan:
    """Of a whole model; goes into its configuration.

    Attributes:
        scheme: of all quantizers.
        sites: what each call rounds.
        quantizers: of activations, by name.
        inputs_like: type and sizes of each input that the model was prepared with, in their structure.
    """

    scheme: Scheme
    sites: dict[str, SitePlan] = field(default_factory=dict)
    quantizers: dict[str, QuantizerPlan] = field(default_factory=dict)
    inputs_like: Any = None

    def config(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> "Plan":
        """What `config` gave."""
        sites = {key: SitePlan(**one) for key, one in config["sites"].items()}
        return cls(
            Scheme(**config["scheme"]), sites, {name: QuantizerPlan(**one) for name, one in config["quantizers"].items()}, config["inputs_like"]
        )


def make_plan(sites: Sequence[Site], precisions: Mapping[str, str], scheme: Scheme) -> Plan:
    """The plan of a model.

    Args:
        sites: its calls, in order.
        precisions: TensorFlow operator -> the precision of the node that it became.
        scheme: of all quantizers.
    """
    return _Planner(sites, precisions, Plan(scheme)).run()


class _Planner:
    def __init__(self, sites: Sequence[Site], precisions: Mapping[str, str], plan: Plan) -> None:
        self.sites, self.precisions, self.plan = sites, precisions, plan
        self.forms: dict[int, str] = {}  # tensor -> the quantizer that rounds it
        self.owner = {name: site for site in sites for name in site.operators}

    def run(self) -> Plan:
        open_sites: list[Site] = []
        for site in self.sites:
            while open_sites and not site.operators.keys() <= open_sites[-1].operators.keys():
                self._leave(open_sites.pop())
            row = known(site.operation)
            if site.key in self.plan.sites:  # a BatchNormalization that was taken in
                continue
            if places(site.operation) is not None:
                self._enter(site)
                open_sites.append(site)
            elif row is not None and self._is_integer(site, row):
                self._known(site, row)
        while open_sites:
            self._leave(open_sites.pop())
        return self.plan

    def _is_integer(self, site: Site, row: KerasOperator) -> bool:
        kernel = OPS[row.tflite].kernels.get(PRECISION)
        if kernel is None or not site.inputs or len(site.outputs) != 1:
            return False
        if isinstance(site.operation, KerasOperator) and not all(self._is_rounded(one) for one in site.inputs):
            return False  # nothing can stand in front of it
        behind = self._only_reader(site)
        operators = dict(site.operators)
        if behind is not None and row.weight and is_normalization(behind.operation):
            operators |= behind.operators  # the node may have either name
        decided = {name: self.precisions[name] for name in operators if name in self.precisions}
        products = {one for name, one in decided.items() if row.weight and operators[name] in PRODUCTS}  # Reshapes around it may lie in other nodes
        return (products or set(decided.values())) == {PRECISION}

    def _known(self, site: Site, row: KerasOperator) -> None:
        kernel, scales = OPS[row.tflite].kernels[PRECISION], OPS[row.tflite].scales
        mine = SitePlan(inputs=[self._input(site, place, symmetric=place in kernel.symmetric) for place in range(len(site.inputs))])
        self.plan.sites[site.key] = mine
        last = site
        if row.weight:
            mine.reads = self.forms.get(id(origin(site.inputs[0])))
            normalization = self._only_reader(site)
            if normalization is not None and is_normalization(normalization.operation) and self._is_whole(normalization):
                mine.normalization = normalization.key
                self.plan.sites[normalization.key] = SitePlan(folded=True)
                last = normalization
            mine.weights[row.weight] = self._channels(site, row.weight, row.channels, folded=last is not site)
        if row.tflite in FUSING and self._is_fused(last):
            self.forms[id(last.outputs[0])] = FUSED_VALUE
            return
        if scales is Scales.INHERIT:
            name = self.forms[id(origin(site.inputs[0]))]
        else:
            fixed = kernel.fixed_output
            name = self._quantizer(f"{site.key}/{OUTPUT}", None if fixed is None else (fixed.scale, fixed.zero_point))
        self.plan.sites[last.key].output = name
        self.forms[id(last.outputs[0])] = name

    def _enter(self, site: Site) -> None:
        """A layer with a handler: what it reads and its weights."""
        said = places(site.operation)
        if said is None or PRECISION not in {self.precisions.get(name) for name in site.operators}:
            return
        mine = self.plan.sites[site.key] = SitePlan()
        mine.weights = {name: self._channels(site, name, () if axis is None else (axis,)) for name, axis in said.weights.items()}
        if said.inputs:
            mine.inputs = [self._input(site, place) for place in range(len(site.inputs))]

    def _channels(self, site: Site, weight: str, channels: Sequence[int], *, folded: bool = False) -> list[int]:
        """Axes with scales of their own; none where the weight is clustered, unless BatchNormalization makes other values of it in each channel."""
        scheme = self.plan.scheme
        if not scheme.per_channel or (not folded and is_clustered(np.asarray(getattr(site.operation, weight)), scheme.most)):
            return []
        return list(channels)

    def _leave(self, site: Site) -> None:
        """Such a layer: what it gives, unless the last operator inside rounds it."""
        said = places(site.operation)
        if said is None or not said.output or site.key not in self.plan.sites:
            return
        result = origin(site.outputs[0])
        if id(result) not in self.forms:
            self.plan.sites[site.key].output = self.forms[id(result)] = self._quantizer(f"{site.key}/{OUTPUT}")

    def _input(self, site: Site, place: int, *, symmetric: bool = False) -> str | None:
        """Name of the quantizer for an input that nothing has rounded yet; several readers of a tensor share one."""
        tensor = origin(site.inputs[place])
        if tensor.op.type == "Const":
            return None
        name = self.forms.get(id(tensor))
        if name is None:
            name = self.forms[id(tensor)] = self._quantizer(f"{site.key}/{INPUT}{place}")
        if symmetric and name:
            self.plan.quantizers[name].symmetric = True
        return name if f"/{INPUT}" in name else None

    def _quantizer(self, name: str, fixed: tuple[float, int] | None = None) -> str:
        self.plan.quantizers[name] = QuantizerPlan(fixed, self.plan.scheme.symmetric and fixed is None)
        return name

    def _is_rounded(self, tensor: Any) -> bool:
        source = origin(tensor)
        return source.op.type == "Const" or id(source) in self.forms

    def _only_reader(self, site: Site) -> Site | None:
        """The call that alone reads the result of another one."""
        readers = {operator.name for operator in site.outputs[0].consumers()}
        owners = {self.owner.get(name) for name in readers}
        return owners.pop() if len(owners) == 1 else None

    def _is_whole(self, site: Site) -> bool:
        return {self.precisions[name] for name in site.operators if name in self.precisions} <= {PRECISION}

    def _is_fused(self, site: Site) -> bool:
        """Whether the next call is an activation that this kernel computes as well."""
        reader = self._only_reader(site)
        row = None if reader is None else known(reader.operation)
        return reader is not None and row is not None and row.tflite in FUSED and self._is_integer(reader, row)
