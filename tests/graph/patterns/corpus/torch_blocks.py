"""Attention, gates, tables of positions, first and last layers, detection tails, as code for torch spells them."""

from collections.abc import Callable, Mapping
from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_layers import SIZE, Around, Spelled, picture, rectified

HEADS, TOKENS = 2, 5
WIDTH = SIZE // HEADS
Case = tuple[nn.Module, tuple[Tensor, ...]]
MASK = torch.tril(torch.ones(TOKENS, TOKENS, dtype=torch.bool))


def _heads(x: Tensor, count: int = HEADS) -> Tensor:
    return x.reshape(x.shape[0], x.shape[1], count, -1).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def _plain(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return ((q @ k.transpose(-2, -1)) / sqrt(WIDTH)).softmax(-1) @ v


class Attention(nn.Module):
    """Projections, and the attention between them as the module `target`."""

    def __init__(self, core: Callable[..., Tensor], *, wide: int = 3 * SIZE, apart: bool = False, mask: bool = False) -> None:
        super().__init__()
        self.apart = apart
        self.qkv = nn.ModuleList([nn.Linear(SIZE, SIZE) for _ in range(3)]) if apart else nn.Linear(SIZE, wide)
        self.target = Spelled(core)
        self.out = nn.Linear(SIZE, SIZE)

    def forward(self, x: Tensor, *mask: Tensor) -> Tensor:
        given = [layer(x) for layer in self.qkv] if self.apart else [self.qkv(x)]
        return self.out(self.target(*given, *mask))


def _timm(qkv: Tensor) -> Tensor:
    """One permutation for all, unbound along the first axis."""
    b, n, _ = qkv.shape
    q, k, v = qkv.reshape(b, n, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4).unbind(0)
    return _joined(((q * WIDTH**-0.5) @ k.transpose(-2, -1)).softmax(dim=-1) @ v)


def _indexed(qkv: Tensor) -> Tensor:
    b, n, _ = qkv.shape
    whole = qkv.reshape(b, n, 3, HEADS, WIDTH).permute(2, 0, 3, 1, 4)
    return _joined(_plain(whole[0], whole[1], whole[2]))


def _chunked(qkv: Tensor) -> Tensor:
    return _joined(_plain(*(_heads(part) for part in qkv.chunk(3, dim=-1))))


def _sliced(qkv: Tensor) -> Tensor:
    return _joined(_plain(*(_heads(qkv[..., first : first + SIZE]) for first in (0, SIZE, 2 * SIZE))))


def _fused(q: Tensor, k: Tensor, v: Tensor, **options: object) -> Tensor:
    return _joined(functional.scaled_dot_product_attention(_heads(q), _heads(k), _heads(v), **options))


def _bert(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """An additive mask made of zeros and ones."""
    scores = torch.matmul(_heads(q), _heads(k).transpose(-1, -2)) / sqrt(WIDTH)
    return _joined(torch.matmul(functional.softmax(scores + (1.0 - mask[:, None, None, :]) * -10000.0, dim=-1), _heads(v)))


def _filled(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    scores = (_heads(q) @ _heads(k).transpose(-1, -2)) * WIDTH**-0.5
    return _joined(scores.masked_fill(mask[:, None, None, :] == 0.0, -1e9).softmax(-1) @ _heads(v))


def _gpt2(qkv: Tensor) -> Tensor:
    q, k, v = (_heads(part) for part in qkv.split(SIZE, dim=2))
    scores = q @ k.transpose(-1, -2) / torch.full([], WIDTH**0.5)
    scores = torch.where(MASK, scores, torch.full([], torch.finfo(scores.dtype).min))
    return _joined(functional.softmax(scores, dim=-1) @ v)


def _both_scaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Whisper's: the root of the scale on both operands."""
    scale = WIDTH**-0.25
    return _joined(((_heads(q) * scale) @ (_heads(k) * scale).transpose(-1, -2)).softmax(-1) @ _heads(v))


def _unscaled(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _joined((_heads(q) @ _heads(k).transpose(3, 2)).softmax(-1) @ _heads(v))


def _einsum(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (x.reshape(x.shape[0], x.shape[1], HEADS, WIDTH) for x in (q, k, v))
    weights = torch.einsum("bqhd,bkhd->bhqk", q * WIDTH**-0.5, k).softmax(-1)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v).flatten(2)


def _batched(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Heads in the batch axis, as in fairseq."""
    q, k, v = (x.reshape(x.shape[0], TOKENS, HEADS, WIDTH).transpose(1, 2).reshape(-1, TOKENS, WIDTH) for x in (q, k, v))
    context = torch.bmm(functional.softmax(torch.bmm(q, k.transpose(1, 2)) * WIDTH**-0.5, dim=-1), v)
    return _joined(context.reshape(-1, HEADS, TOKENS, WIDTH))


def _one_head(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return _plain(q, k, v)


def _grouped(qkv: Tensor) -> Tensor:
    """Llama's: two heads of queries read one head of keys."""
    q, k, v = qkv.split([SIZE, WIDTH, WIDTH], dim=-1)
    k, v = (x[:, :, None, :, :].expand(-1, -1, HEADS, -1, -1).reshape(x.shape[0], HEADS, TOKENS, WIDTH) for x in (_heads(k, 1), _heads(v, 1)))
    return _joined(_plain(_heads(q), k, v))


def _grouped_fused(qkv: Tensor) -> Tensor:
    q, k, v = qkv.split([SIZE, WIDTH, WIDTH], dim=-1)
    return _joined(functional.scaled_dot_product_attention(_heads(q), _heads(k, 1), _heads(v, 1), enable_gqa=True))


def _biased(qkv: Tensor) -> Tensor:
    """Swin's: a learned bias on every pair of tokens."""
    q, k, v = (_heads(part) for part in qkv.chunk(3, dim=-1))
    return _joined((q * WIDTH**-0.5 @ k.transpose(-2, -1) + torch.linspace(-1.0, 1.0, TOKENS * TOKENS).reshape(TOKENS, TOKENS)).softmax(-1) @ v)


def _spatial(qkv: Tensor) -> Tensor:
    """YOLO's: keys before queries, pixels last."""
    q, k, v = qkv.transpose(1, 2).reshape(qkv.shape[0], HEADS, 3 * WIDTH, TOKENS).split([WIDTH] * 3, dim=2)
    weights = ((q.transpose(-2, -1) @ k) * WIDTH**-0.5).softmax(dim=-1)
    return (v @ weights.transpose(-2, -1)).reshape(qkv.shape[0], SIZE, TOKENS).transpose(1, 2)


class _Multihead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.before = nn.Linear(SIZE, SIZE)
        self.target = nn.MultiheadAttention(SIZE, HEADS, batch_first=True)
        self.after = nn.Linear(SIZE, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        return self.after(self.target(x, x, x, need_weights=False)[0])


class _Excite(nn.Module):
    """Multiplies by a gate of its own mean over the picture."""

    def __init__(self, gate: nn.Module, *, linear: bool = False, mean: bool = False) -> None:
        super().__init__()
        self.linear, self.mean, self.gate = linear, mean, gate
        self.reduce = nn.Linear(SIZE, 4) if linear else nn.Conv2d(SIZE, 4, 1)
        self.expand = nn.Linear(4, SIZE) if linear else nn.Conv2d(4, SIZE, 1)

    def forward(self, x: Tensor) -> Tensor:
        squeezed = x.mean((2, 3), keepdim=True) if self.mean else functional.adaptive_avg_pool2d(x, 1)
        squeezed = squeezed.flatten(1) if self.linear else squeezed
        gate = self.gate(self.expand(torch.relu(self.reduce(squeezed))))
        return x * (gate[:, :, None, None] if self.linear else gate)


class _EfficientChannels(nn.Module):
    """ECA: one convolution along the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        mean = functional.adaptive_avg_pool2d(x, 1).squeeze(-1).transpose(-1, -2)
        return x * torch.sigmoid(self.conv(mean).transpose(-1, -2).unsqueeze(-1))


class _Sum(nn.Module):
    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        return left + right


class Residual(nn.Module):
    """`x + branch(x)` between two layers, the norm before or behind."""

    def __init__(self, branch: nn.Module, *, before: nn.Module, norm: nn.Module, after: nn.Module, post: bool = False) -> None:
        super().__init__()
        self.before, self.norm, self.branch, self.after, self.post = before, norm, branch, after, post
        self.target = _Sum()

    def forward(self, x: Tensor) -> Tensor:
        x = self.before(x)
        if self.post:
            return self.after(self.norm(self.target(x, self.branch(x))))
        return self.after(self.target(x, self.branch(self.norm(x))))


def _block(branch: nn.Module, *, post: bool = False, shape: tuple[int, ...] = (1, TOKENS, SIZE)) -> Case:
    model = Residual(branch, before=nn.Linear(SIZE, SIZE), norm=nn.LayerNorm(SIZE), after=nn.Linear(SIZE, 3), post=post)
    return model, (torch.randn(shape),)


def _feed_forward() -> nn.Module:
    return nn.Sequential(nn.Linear(SIZE, 2 * SIZE), nn.GELU(), nn.Linear(2 * SIZE, SIZE))


def _convolutions() -> Case:
    branch = nn.Sequential(nn.Conv2d(SIZE, SIZE, 3, padding=1), nn.BatchNorm2d(SIZE), nn.ReLU(), nn.Conv2d(SIZE, SIZE, 3, padding=1))
    return Residual(branch, before=nn.Conv2d(3, SIZE, 1), norm=nn.Identity(), after=nn.Conv2d(SIZE, 3, 1)), (torch.randn(1, 3, 6, 6),)


class _Positions(nn.Module):
    """Tokens and a table added to them by the module `target`."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.words = nn.Linear(SIZE, SIZE) if how == "patches" else nn.Embedding(11, SIZE)
        self.token = nn.Parameter(torch.randn(1, 1, SIZE))
        self.table = nn.Parameter(torch.randn(1, TOKENS + (how == "patches"), SIZE))
        self.position = nn.Embedding(TOKENS, SIZE)
        self.target = _Sum()
        self.norm, self.after = nn.LayerNorm(SIZE), nn.Linear(SIZE, 3)

    def forward(self, x: Tensor, *ids: Tensor) -> Tensor:
        embedded = self.words(x)
        if self.how == "patches":
            embedded = torch.cat([self.token.expand(x.shape[0], -1, -1), embedded], dim=1)
        added = {
            "embedding": lambda: self.position(torch.arange(TOKENS)),
            "given": lambda: self.position(ids[0]),
            "sinus": lambda: _sinus(),
        }.get(self.how, lambda: self.table)()
        return self.after(self.norm(self.target(embedded, added)))


def _sinus() -> Tensor:
    angles = torch.arange(TOKENS)[:, None] / 10000.0 ** (torch.arange(0, SIZE, 2) / SIZE)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(1, TOKENS, SIZE)


class _Ends(nn.Module):
    """`target` first or last in a small network."""

    def __init__(self, target: nn.Module, *others: nn.Module, first: bool) -> None:
        super().__init__()
        self.target, self.others, self.first = target, nn.Sequential(*others), first

    def forward(self, x: Tensor) -> Tensor:
        return self.others(self.target(x)) if self.first else self.target(self.others(x))


class _Boxes(nn.Module):
    """A head of two convolutions, and the decoding `target` of what they write."""

    def __init__(self, target: nn.Module, *, width: int = 4) -> None:
        super().__init__()
        self.stem, self.boxes, self.scores = nn.Conv2d(3, SIZE, 3, padding=1), nn.Conv2d(SIZE, width, 1), nn.Conv2d(SIZE, 3, 1)
        self.target = target

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        x = torch.relu(self.stem(x))
        return self.target(self.boxes(x), self.scores(x))


def _flat(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)


def _ssd(boxes: Tensor, scores: Tensor, anchors: Tensor) -> tuple[Tensor, ...]:
    boxes = _flat(boxes)
    centre, size = boxes[..., :2] * 0.1 * anchors[:, 2:] + anchors[:, :2], torch.exp(boxes[..., 2:] * 0.2) * anchors[:, 2:]
    return torch.cat([centre - size / 2, centre + size / 2], dim=-1), functional.softmax(_flat(scores), dim=-1)


def _yolo(boxes: Tensor, scores: Tensor, grid: Tensor) -> Tensor:
    raw = _flat(torch.cat([boxes, scores.sigmoid()], dim=1))
    return torch.cat([(raw[..., :2] + grid) * 8.0, torch.exp(raw[..., 2:4]) * 8.0, raw[..., 4:]], dim=-1)


def _distances(boxes: Tensor, scores: Tensor, anchors: Tensor) -> Tensor:
    """YOLOv8: distances as expectations over bins."""
    bins = _flat(boxes).reshape(1, -1, 4, 4).softmax(-1)
    sides = (bins * torch.arange(4.0)).sum(-1)
    return torch.cat([anchors - sides[..., :2], anchors + sides[..., 2:], _flat(scores).sigmoid()], dim=-1)


BLOCKS: Mapping[str, Callable[[], Case]] = {
    **{
        f"attention/{name}": lambda core=core: (Attention(core), (torch.randn(2, TOKENS, SIZE),))
        for name, core in {
            "unbind": _timm, "gather": _indexed, "split": _chunked, "slice": _sliced, "causal_split": _gpt2, "relative_bias": _biased,
            "pixels_last": _spatial,
        }.items()
    },
    **{
        f"attention/{name}": lambda core=core: (Attention(core, apart=True), (torch.randn(2, TOKENS, SIZE),))
        for name, core in {
            "fused": _fused, "fused_causal": partial(_fused, is_causal=True), "fused_bool_mask": partial(_fused, attn_mask=MASK),
            "fused_scale": partial(_fused, scale=0.25), "fused_float_mask": partial(_fused, attn_mask=torch.where(MASK, 0.0, -1e4)),
            "scale_on_both": _both_scaled, "unscaled": _unscaled, "einsum": _einsum, "heads_in_batch": _batched, "one_head": _one_head,
        }.items()
    },
    **{
        f"attention/{name}": lambda core=core: (Attention(core, wide=2 * SIZE), (torch.randn(2, TOKENS, SIZE),))
        for name, core in {"grouped": _grouped, "grouped_fused": _grouped_fused}.items()
    },
    **{
        f"attention/{name}": lambda core=core: (Attention(core, apart=True), (torch.randn(2, TOKENS, SIZE), torch.ones(2, TOKENS)))
        for name, core in {"bert_mask": _bert, "filled_mask": _filled}.items()
    },
    "attention/multihead_module": lambda: (_Multihead(), (torch.randn(2, TOKENS, SIZE),)),
    "squeeze_excite/pooled": lambda: picture(_Excite(nn.Sigmoid())),
    "squeeze_excite/mean": lambda: picture(_Excite(nn.Sigmoid(), mean=True)),
    "squeeze_excite/hard": lambda: picture(_Excite(nn.Hardsigmoid())),
    "squeeze_excite/linear": lambda: picture(_Excite(nn.Sigmoid(), linear=True)),
    "squeeze_excite/efficient_channels": lambda: picture(_EfficientChannels()),
    "rescaling/input_mean_std": lambda: (_Ends(Spelled(lambda x, mean, std: (x - mean) / std, (3, 1, 1), (3, 1, 1)), nn.Conv2d(3, 4, 1), first=True), (torch.rand(1, 3, 6, 6),)),
    "rescaling/input_range": lambda: (_Ends(Spelled(lambda x: x / 127.5 - 1.0), nn.Conv2d(3, 4, 1), first=True), (torch.rand(1, 3, 6, 6),)),
    "rescaling/input_255": lambda: (_Ends(Spelled(lambda x: x * (1 / 255)), nn.Conv2d(3, 4, 1), first=True), (torch.rand(1, 3, 6, 6),)),
    "rescaling/layer_scale": lambda: (Around(nn.Sequential(nn.Linear(SIZE, SIZE), nn.ReLU()), Spelled(lambda x, factor: x * factor, (SIZE,)), nn.Linear(SIZE, 3)), (torch.randn(2, TOKENS, SIZE),)),
    "rescaling/scale_and_bias": lambda: rectified(Spelled(lambda x, scale, bias: x * scale + bias, (1, SIZE, 1, 1), (1, SIZE, 1, 1))),
    "residual_add/feed_forward_pre": lambda: _block(_feed_forward()),
    "residual_add/feed_forward_post": lambda: _block(_feed_forward(), post=True),
    "residual_add/attention_pre": lambda: _block(Attention(_timm)),
    "residual_add/attention_post": lambda: _block(Attention(_timm), post=True),
    "cnn_residual_add/basic": _convolutions,
    "positional_embedding/parameter": lambda: (_Positions("parameter"), (torch.randint(0, 11, (2, TOKENS)),)),
    "positional_embedding/patches": lambda: (_Positions("patches"), (torch.randn(2, TOKENS, SIZE),)),
    "positional_embedding/embedding": lambda: (_Positions("embedding"), (torch.randint(0, 11, (2, TOKENS)),)),
    "positional_embedding/sinus": lambda: (_Positions("sinus"), (torch.randint(0, 11, (2, TOKENS)),)),
    "positional_embedding/given": lambda: (_Positions("given"), (torch.randint(0, 11, (2, TOKENS)), torch.arange(TOKENS)[None].repeat(2, 1))),
    "first_layer/convolution": lambda: (_Ends(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 1), first=True), (torch.randn(1, 3, 6, 6),)),
    "first_layer/linear": lambda: (_Ends(nn.Linear(SIZE, SIZE), nn.ReLU(), nn.Linear(SIZE, 3), first=True), (torch.randn(2, SIZE),)),
    "first_layer/one_dimension": lambda: (_Ends(nn.Conv1d(3, 4, 3), nn.ReLU(), nn.Conv1d(4, 4, 1), first=True), (torch.randn(1, 3, 9),)),
    "last_layer/classifier": lambda: (_Ends(nn.Linear(4, 3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), first=False), (torch.randn(1, 3, 6, 6),)),
    "last_layer/picture": lambda: (_Ends(nn.Conv2d(4, 12, 3, padding=1), nn.Conv2d(3, 4, 1), nn.ReLU(), first=False), (torch.randn(1, 3, 6, 6),)),
    "detection_tail/anchors": lambda: (_Boxes(Spelled(_ssd, (36, 4))), (torch.randn(1, 3, 6, 6),)),
    "detection_tail/grid": lambda: (_Boxes(Spelled(_yolo, (36, 2))), (torch.randn(1, 3, 6, 6),)),
    "detection_tail/distances": lambda: (_Boxes(Spelled(_distances, (36, 2)), width=16), (torch.randn(1, 3, 6, 6),)),
}  # fmt: skip
