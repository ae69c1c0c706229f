"""Pictures in a folder as samples: headers checked at once, each picture decoded when its sample is asked for."""

import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from msgspec import Struct
from PIL import Image, UnidentifiedImageError

from bridge.calibrate.array_files import StoredArray
from bridge.calibrate.dataset import LABELS
from bridge.calibrate.preprocessing import Preprocessing
from bridge.errors import InputError
from bridge.types import TensorSpec

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"})
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")  # decoded inside Pillow; others start programs or are hardly ever tested
MAX_PIXELS = 1 << 26  # of one picture: below Pillow's own warning, 256 MB as RGBA
MAX_FILES = 1_000_000

# What broken pictures raise in Pillow's decoders.
DAMAGE = (
    OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, EOFError, OverflowError, MemoryError, NotImplementedError, struct.error, zlib.error,
    Image.DecompressionBombError,
)  # fmt: skip
FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "box": Image.Resampling.BOX,
}


class Geometry(Struct, frozen=True):
    """What a model input takes.

    Attributes:
        height: in pixels.
        width: in pixels.
        channels: 1 or 3.
        channels_first: whether a sample is [C, H, W].
        dtype: NumPy name.
    """

    height: int
    width: int
    channels: int
    channels_first: bool
    dtype: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one sample."""
        return (self.channels, self.height, self.width) if self.channels_first else (self.height, self.width, self.channels)


class ImageRows:
    """The pictures as if they were an array [N, *sample shape]; each access decodes one.

    Args:
        paths: the pictures.
        geometry: of a sample.
        preprocessing: how it is made.
    """

    def __init__(self, paths: Sequence[Path], geometry: Geometry, preprocessing: Preprocessing) -> None:
        self._paths, self._geometry, self._preprocessing = tuple(paths), geometry, preprocessing

    def __len__(self) -> int:
        return len(self._paths)

    def name_of(self, row: int) -> str:
        """Path of the picture."""
        return str(self._paths[row])

    def __getitem__(self, row: int) -> np.ndarray:
        path = self._paths[row]
        try:
            with Image.open(path, formats=FORMATS) as image:
                pixels = _fitted(image, self._geometry, self._preprocessing)
        except DAMAGE as error:
            raise InputError(f"{path}: the picture is damaged: {_line(error)}.", hint="Remove it, or save it again.", code="data-pictures") from error
        return _values(pixels, self._geometry, self._preprocessing)


def open_images(folder: Path, preprocessing: Preprocessing, spec: TensorSpec) -> dict[str, StoredArray]:
    """The pictures of a folder and of its subfolders in the order of their paths, by the name of the input, and their labels.

    Where every picture lies in a subfolder of its class there are labels, [N] int64: the subfolder's name where all are numbers, else its place in the
    order of the names, as torchvision and Keras count them.

    Raises:
        InputError: there is no picture, one is damaged or too large, or the input takes none.
    """
    geometry = geometry_of(spec, preprocessing)
    try:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    except OSError as error:
        raise InputError(f"{folder}: cannot be read: {error.strerror}.", hint="Check the path of the pictures.", code="data-pictures") from error
    if not paths:
        raise InputError(f"{folder}: there is no picture in it.", hint=f"Pictures end in {', '.join(sorted(SUFFIXES))}.", code="data-count")
    if len(paths) > MAX_FILES:
        raise InputError(f"{folder}: at most {MAX_FILES} pictures are read. Received: {len(paths)}.", code="data-pictures")
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        for path in paths:
            _check_header(path)
    shape, dtype = (len(paths), *geometry.shape), np.dtype(geometry.dtype)
    found = {spec.name: StoredArray(spec.name, shape, dtype, lambda count: ImageRows(paths[:count], geometry, preprocessing), finite=True)}
    labels = _labels(folder, paths)
    if labels is not None:
        found[LABELS] = StoredArray(LABELS, labels.shape, labels.dtype, lambda count: labels[:count])
    return found


def geometry_of(spec: TensorSpec, preprocessing: Preprocessing) -> Geometry:
    """What the input takes, sizes that it leaves open from the preprocessing.

    Raises:
        InputError: the input takes no pictures, or not these.
    """
    where = f"input {spec.name!r} {list(spec.shape)}"
    if len(spec.shape) not in (3, 4):
        raise InputError(f"The {where} takes no pictures: a picture has 3 axes.", hint="Give the samples as .npz.", code="data-pictures")
    sizes = spec.shape[-3:]
    layouts = {"nchw": (sizes[0], sizes[1:]), "nhwc": (sizes[2], sizes[:2])}
    fitting = [name for name, (channels, _) in layouts.items() if channels in (1, 3)] if preprocessing.layout == "auto" else [preprocessing.layout]
    if not fitting or layouts[fitting[0]][0] not in (1, 3):
        raise InputError(
            f"The {where} takes no pictures: none of its axes has 1 or 3 channels.", hint="Give the samples as .npz.", code="data-pictures"
        )
    channels, sides = layouts[fitting[0]]
    height, width = (_side(side, wanted, where) for side, wanted in zip(sides, preprocessing.size or (None, None), strict=True))
    dtype = spec.dtype if preprocessing.dtype == "auto" else preprocessing.dtype
    geometry = Geometry(height, width, int(channels), fitting[0] == "nchw", dtype)
    needed = {"rgb": 3, "bgr": 3, "gray": 1}.get(preprocessing.color, geometry.channels)
    counts = {len(preprocessing.mean), len(preprocessing.std)} - {1}
    if needed != geometry.channels or counts - {geometry.channels}:
        raise InputError(
            f"The {where} has {geometry.channels} channels, the preprocessing makes {max(counts | {needed})}.",
            hint="unit and raw make as many as the model takes; a .toml file says it in color, mean and std.",
            code="data-pictures",
        )
    return geometry


def _side(side: int | str, wanted: int | None, where: str) -> int:
    if isinstance(side, str):
        if wanted is None:
            raise InputError(
                f"The {where} takes pictures of any size.",
                hint="--input NAME=1x3x224x224 fixes it, or a preprocessing file with size = [224, 224].",
                code="data-pictures",
            )
        return wanted
    if wanted not in (None, side):
        raise InputError(f"The {where} takes other sizes than the preprocessing makes. Received: {wanted} instead of {side}.", code="data-pictures")
    return side


def _check_header(path: Path) -> None:
    try:
        with Image.open(path, formats=FORMATS) as image:
            pixels = image.width * image.height
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise _too_large(path) from error
    except UnidentifiedImageError as error:
        raise InputError(f"{path}: not a picture, whatever its name says.", hint="Remove it, or save it again.", code="data-pictures") from error
    except DAMAGE as error:
        raise InputError(f"{path}: the picture cannot be read: {_line(error)}.", hint="Remove it, or save it again.", code="data-pictures") from error
    if pixels > MAX_PIXELS:
        raise _too_large(path)


def _too_large(path: Path) -> InputError:
    return InputError(
        f"{path}: the picture would unpack to more than {MAX_PIXELS >> 20} million pixels.", hint="Scale it down first.", code="data-pictures"
    )


def _fitted(image: Image.Image, geometry: Geometry, preprocessing: Preprocessing) -> np.ndarray:
    """[H, W, C] uint8 in the size and the color of the result."""
    size, how = (geometry.width, geometry.height), FILTERS[preprocessing.interpolation]
    picture = image.convert("L" if geometry.channels == 1 else "RGB")
    if preprocessing.resize == "stretch":
        picture = picture.resize(size, how)
    elif preprocessing.resize == "letterbox":
        ratio = min(size[0] / picture.width, size[1] / picture.height)
        inner = (max(1, min(size[0], int(picture.width * ratio))), max(1, min(size[1], int(picture.height * ratio))))
        canvas = Image.new(picture.mode, size, preprocessing.padding if geometry.channels == 1 else (preprocessing.padding,) * 3)
        canvas.paste(picture.resize(inner, how))
        picture = canvas
    else:
        # The part that stays is cut out while resizing: as torchvision's Resize and CenterCrop, to half a pixel.
        ratio = min(picture.width / size[0], picture.height / size[1]) * preprocessing.crop
        width, height = size[0] * ratio, size[1] * ratio
        left, top = (picture.width - width) / 2, (picture.height - height) / 2
        picture = picture.resize(size, how, (left, top, left + width, top + height))
    pixels = np.asarray(picture).reshape(geometry.height, geometry.width, geometry.channels)
    return pixels[..., ::-1] if preprocessing.color == "bgr" else pixels


def _values(pixels: np.ndarray, geometry: Geometry, preprocessing: Preprocessing) -> np.ndarray:
    values = pixels.astype(np.float64) * preprocessing.scale
    values = (values - preprocessing.mean) / preprocessing.std
    dtype = np.dtype(geometry.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        values = np.clip(np.round(values), limits.min, limits.max)
    ordered = values.transpose(2, 0, 1) if geometry.channels_first else values
    return np.ascontiguousarray(ordered, dtype)


def _labels(folder: Path, paths: Sequence[Path]) -> np.ndarray | None:
    parents = [path.relative_to(folder).parts[:-1] for path in paths]
    if any(len(parts) != 1 for parts in parents):
        return None
    names = [parts[0] for parts in parents]
    classes = sorted(set(names))
    if all(name.isascii() and name.isdigit() and len(name) < 10 for name in classes):
        return np.array([int(name) for name in names], np.int64)
    return np.array([classes.index(name) for name in names], np.int64)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split()).rstrip(".")
    return text[:160] or type(error).__name__
