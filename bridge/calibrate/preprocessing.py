"""How a picture becomes an input: the usual ways by name, own ones in a TOML file."""

import tomllib
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Literal

from msgspec import Struct
from msgspec.structs import replace
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, FiniteFloat, ValidationError

from bridge import toml_text
from bridge.errors import InputError, printable

MAX_BYTES = 64 << 10
MAX_SIDE = 8192

Resize = Literal["crop", "stretch", "letterbox"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "box"]
Color = Literal["auto", "rgb", "bgr", "gray"]
Layout = Literal["auto", "nchw", "nhwc"]


class Preprocessing(Struct, frozen=True):
    """Steps in this order: color, resize, `(pixel * scale - mean) / std` with pixels from 0 to 255, layout, dtype.

    Attributes:
        size: height and width of the result; None = those of the model input.
        resize: `crop` makes the shorter side `size / crop` long and cuts the centre out, `stretch` changes the aspect ratio, `letterbox` keeps it and
            fills the rest, at the right and at the bottom, with `padding`.
        crop: share of the shorter side that a crop keeps; 0.875 is 224 of 256.
        padding: pixel value around a letterboxed picture.
        interpolation: of resizing.
        color: order of the channels; `auto` = rgb, or gray where the model input has one channel.
        scale: factor of the pixels.
        mean: subtracted after that, one for all channels or one for each in the order of `color`.
        std: divisor after that, likewise.
        layout: `auto` = that of the model input.
        dtype: NumPy name; `auto` = that of the model input.
    """

    size: tuple[int, int] | None = None
    resize: Resize = "crop"
    crop: float = 0.875
    padding: int = 114
    interpolation: Interpolation = "bilinear"
    color: Color = "rgb"
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    layout: Layout = "auto"
    dtype: str = "auto"


def find_preprocessing(name: str | Path) -> Preprocessing:
    """A preprocessing by its name, or from a TOML file.

    Raises:
        InputError: the name is unknown, or the file is missing or malformed.
    """
    if isinstance(name, str) and name in PREPROCESSINGS:
        return PREPROCESSINGS[name]
    path = Path(name)
    if path.suffix.lower() != ".toml":
        raise InputError(
            f"There is no preprocessing {str(name)[:80]!r}.",
            hint=f"Known: {', '.join(PREPROCESSINGS)}; or the path of a .toml file with keys of its own.",
            code="data-pictures",
        )
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise InputError(f"{path}: a preprocessing file has at most {MAX_BYTES >> 10} KiB.", code="data-pictures")
        values = _File.model_validate(toml_text.loads(content.decode()))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", hint="Check the path of the preprocessing.", code="data-pictures") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{path}: not TOML: {error}.", code="data-pictures") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise InputError(
            f"{path}: {where}: {first['msg'].removeprefix('Value error, ')}. Received: {printable(str(first['input'])[:80])}.",
            hint=f"Keys: {', '.join(_File.model_fields)}.",
            code="data-pictures",
        ) from error
    return _preprocessing(values)


def _fraction(value: object) -> object:
    """`"1/255"` is as good as a number."""
    try:
        return float(Fraction(value)) if isinstance(value, str) else value
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError("should be a number, or a fraction such as '1/255'") from error


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _known(name: str) -> str:
    if name not in PREPROCESSINGS:
        raise ValueError(f"known are {', '.join(PREPROCESSINGS)}")
    return name


def _not_zero(values: tuple[float, ...]) -> tuple[float, ...]:
    if not all(values):
        raise ValueError("a divisor is not 0")
    return values


Side = Annotated[int, Field(ge=1, le=MAX_SIDE, strict=True)]
Number = Annotated[FiniteFloat, BeforeValidator(_fraction)]
Channels = Annotated[tuple[Number, ...], BeforeValidator(_listed), Field(min_length=1, max_length=4)]


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    base: Annotated[str, AfterValidator(_known)] | None = None  # a name whose values hold where the file has none
    size: Annotated[tuple[Side, ...], BeforeValidator(_listed), Field(min_length=1, max_length=2)] | None = None
    resize: Resize | None = None
    crop: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    padding: Annotated[int, Field(ge=0, le=255)] | None = None
    interpolation: Interpolation | None = None
    color: Color | None = None
    scale: Number | None = None
    mean: Channels | None = None
    std: Annotated[Channels, AfterValidator(_not_zero)] | None = None
    layout: Layout | None = None
    dtype: Literal["auto", "float32", "float16", "uint8", "int8", "int32", "int64"] | None = None


def _preprocessing(values: _File) -> Preprocessing:
    given = {name: value for name, value in values.model_dump(exclude={"base", "size"}).items() if value is not None}
    if values.size is not None:
        given["size"] = (values.size[0], values.size[-1])
    return replace(PREPROCESSINGS[values.base] if values.base else Preprocessing(), **given)


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

PREPROCESSINGS: Mapping[str, Preprocessing] = MappingProxyType(
    {
        # torchvision's reference transforms: 0..1, mean and deviation of ImageNet.
        "imagenet": Preprocessing(scale=1 / 255, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        # keras.applications.imagenet_utils, mode "tf": -1..1.
        "imagenet-tf": Preprocessing(scale=1 / 127.5, mean=(1.0,)),
        # The same, mode "caffe": BGR, 0..255 minus the mean.
        "caffe": Preprocessing(color="bgr", mean=(103.939, 116.779, 123.68)),
        # OpenAI's CLIP.
        "clip": Preprocessing(
            crop=1.0, interpolation="bicubic", scale=1 / 255, mean=(0.48145466, 0.4578275, 0.40821073), std=(0.26862954, 0.26130258, 0.27577711)
        ),
        # Ultralytics' detectors: 0..1, letterboxed.
        "yolo": Preprocessing(resize="letterbox", scale=1 / 255),
        # YOLOX: BGR, 0..255, letterboxed.
        "yolox": Preprocessing(resize="letterbox", color="bgr"),
        "unit": Preprocessing(resize="stretch", color="auto", scale=1 / 255),
        "raw": Preprocessing(resize="stretch", color="auto"),
    }
)
