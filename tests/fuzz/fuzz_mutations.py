"""One damage to the bytes or the parts of a file; the same generator in the same state gives the same damage."""

import io
import random
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor  # type: ignore[import-untyped]  # protobuf ships no types
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from bridge.tflite import model as tflite

type Mutation = Callable[[bytes, random.Random], bytes]

MAX_DAMAGED_BYTES = 16 << 20
INTEGERS = (0, 1, -1, 2, 3, 7, 64, 127, -128, 255, 256, 65_535, 1 << 20, 1 << 31, (1 << 31) - 1, -(1 << 31), 1 << 40, (1 << 63) - 1, -(1 << 63))
FLOATS = (0.0, -1.0, 1e-45, 1e38, float("nan"), float("inf"), float("-inf"))
NAMES = ("", "x", "x" * 300, "<script>alert(1)</script>", "a\nb", "\x1b[31m", "\u202egnp", "::error::", "=1+1", "../../x", "\x00", "|", "\ud7ff")
OPERATORS = (
    "Relu", "Conv", "ConvTranspose", "MatMul", "Gemm", "Reshape", "Concat", "Split", "LSTM", "GRU", "Einsum", "If", "Loop", "Scan", "Slice", "Pad", "Resize",
    "Expand", "Tile", "Range", "ConstantOfShape", "Gather", "GatherND", "ScatterND", "TopK", "Attention", "LayerNormalization", "QuantizeLinear",
    "DequantizeLinear", "Transpose", "Unsqueeze", "Squeeze", "ReduceMean", "Cast", "Constant", "Identity", "Softmax", "OneHot", "NonMaxSuppression", "Xyz",
)  # fmt: skip
TEXT_PIECES = (
    b"[", b"]", b"{", b"}", b'"', b"'", b"\n", b"=", b",", b"#", b"null", b"true", b"-1", b"0", b"1e999", b"NaN", b"9" * 40, b"[[", b"]]", b'"""', b"\\u0000",
    b"\\ud800", b"\xff", b"\xe2\x80\xae", b"\x1b[2J", b"." * 50, b"a." * 200, b"[" * 300, b"*" * 200, b"(a+)+" * 20, b"<b>", b"::error::",
)  # fmt: skip


def bits(content: bytes, chance: random.Random) -> bytes:
    """Flips a few bits."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 8) if changed else 0):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def cut(content: bytes, chance: random.Random) -> bytes:
    """Ends early."""
    return content[: chance.randrange(len(content) + 1)]


def blocks(content: bytes, chance: random.Random) -> bytes:
    """Leaves a block out, repeats it, zeroes it or puts it elsewhere."""
    start = chance.randrange(len(content) + 1)
    end = min(len(content), start + chance.choice((1, 4, 16, 64, 1024)))
    block, place = content[start:end], chance.randrange(len(content) + 1)
    return chance.choice(
        (
            content[:start] + content[end:],
            content[:end] + block * chance.randint(1, 9) + content[end:],
            content[:start] + bytes(len(block)) + content[end:],
            content[:place] + block + content[place:],
            content[:start] + chance.randbytes(len(block)) + content[end:],
        )
    )


def words(content: bytes, chance: random.Random) -> bytes:
    """Aligned 32-bit words become sizes and offsets that lead elsewhere: lengths and offsets of flatbuffers, fields of zip headers."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 3) if len(changed) >= 4 else 0):
        at = chance.randrange(len(changed) // 4) * 4
        old = struct.unpack_from("<I", changed, at)[0]
        new = chance.choice((*INTEGERS, old + chance.choice((-8, -4, -1, 1, 4, 8)), chance.randrange(len(changed)), -at))
        struct.pack_into("<I", changed, at, new & 0xFFFFFFFF)
    return bytes(changed)


def text(content: bytes, chance: random.Random) -> bytes:
    """Puts signs in that mean something to a parser, leaves lines out, swaps or repeats them."""
    lines = content.split(b"\n")
    kind, at = chance.randrange(5), chance.randrange(len(lines))
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines[at:at] = [lines[at]] * chance.randint(1, 30)
    elif kind == 2:
        other = chance.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    else:
        place = chance.randrange(len(lines[at]) + 1)
        end = place if kind == 3 else min(len(lines[at]), place + chance.randint(1, 12))
        lines[at] = lines[at][:place] + chance.choice(TEXT_PIECES) + lines[at][end:]
    return b"\n".join(lines)


def archive(content: bytes, chance: random.Random) -> bytes:
    """Another member, name, header or compression inside a sound zip file; checksums are right again."""
    members = _members(content)
    if not members:
        return bits(content, chance)
    at = chance.randrange(len(members))
    name, body = members[at]
    kind = chance.randrange(5)
    if kind == 0:
        members[at] = (name, npy_header(body, chance))
    elif kind == 1:
        members.append((chance.choice((name, "../../up.npy", "/abs.npy", "\u202e.npy", "a\nb.npy", "x" * 500 + ".npy")), body))
    elif kind == 2:
        members[at] = (name, chance.choice((bits, cut, blocks))(body, chance))
    elif kind == 3:
        del members[at]
    else:
        members[at] = (name, body[:128] + bytes(1 << chance.randrange(10, 24)))
    return _packed(members, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)))


def _members(content: bytes) -> list[tuple[str, bytes]]:
    """Name and content of each; none of an archive that was damaged before."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as old:
            return [(info.filename, old.read(info)) for info in old.infolist()]
    except Exception:  # noqa: BLE001  # whatever is wrong with it
        return []


def _packed(members: Sequence[tuple[str, bytes]], compression: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as new:
        for name, body in members:
            new.writestr(zipfile.ZipInfo(name), body, compression)
    return out.getvalue()


def archive_text(content: bytes, chance: random.Random) -> bytes:
    """Damages the JSON of a sound zip file or HDF5 file, which says what the model is; it has the same length where it is no member of its own."""
    if not content.startswith(b"PK"):
        start, end = content.find(b'{"class_name"'), content.rfind(b"}") + 1
        if start < 0:
            return bits(content, chance)
        changed = text(content[start:end], chance)[: end - start]
        return content[:start] + changed.ljust(end - start) + content[end:]
    members = _members(content)
    places = [place for place, (name, _) in enumerate(members) if name.endswith((".json", ".py"))]  # TorchScript is Python
    if not places:
        return bits(content, chance)
    at = chance.choice(places)
    members[at] = (members[at][0], text(members[at][1], chance))
    return _packed(members, zipfile.ZIP_STORED)


def npy_header(content: bytes, chance: random.Random) -> bytes:
    """Another shape, order or type in the header of a .npy file."""
    shape = chance.choice(
        ("()", "(0,)", "(-1,)", "(2**40,)", "(1 << 62, 4)", f"({1 << 62}, 4)", "(4, 1000000000)", f"({9 * 10**18},) * 9", "(4.5,)", "'x'")
    )
    kind = chance.choice(
        ("'<f4'", "'|O'", "'<f8'", "'<U4000000'", "'|V99999999'", "[('a', '<f4'), ('b', '|O')]", "'<M8[ns]'", "'<c16'", "'|S0'", "'>f4'", "3")
    )
    header = f"{{'descr': {kind}, 'fortran_order': {chance.choice(('True', 'False', '7'))}, 'shape': {shape}, }}".encode()
    header += b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY" + chance.choice((b"\x01\x00", b"\x02\x00", b"\x03\x00")) + struct.pack("<H", len(header)) + header + content[128:]


def onnx_fields(content: bytes, chance: random.Random) -> bytes:
    """Other values in the fields of the model: sizes, attributes, types, operators, names, edges; parts left out, repeated, in another order."""
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError:
        return bits(content, chance)
    for _ in range(chance.randint(1, 4)):
        messages = list(_messages(model, 0))
        _change_message(chance.choice(messages), messages, chance)
    return bytes(model.SerializeToString())


def _messages(message: Any, depth: int) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.message_type is not None and depth < 12:
            for part in value if field.is_repeated else (value,):
                found += _messages(part, depth + 1)
    return found


def _change_message(message: Any, messages: Sequence[Any], chance: random.Random) -> None:
    present = [field for field, _ in message.ListFields()]
    fields = present if present and chance.random() < 0.85 else list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = chance.choice(fields)
    if field.is_repeated:
        _change_list(getattr(message, field.name), field, messages, chance)
    elif field.message_type is not None:
        same = [other for other in messages if other.DESCRIPTOR is field.message_type and other is not message]
        if same and chance.random() < 0.7:
            copy = type(same[0])()
            copy.CopyFrom(chance.choice(same))
            getattr(message, field.name).CopyFrom(copy)
        else:
            message.ClearField(field.name)
    else:
        setattr(message, field.name, _scalar(field, getattr(message, field.name), messages, chance))


def _change_list(values: Any, field: Any, messages: Sequence[Any], chance: random.Random) -> None:
    kind = chance.randrange(4)
    if len(values) and kind == 0:
        del values[chance.randrange(len(values))]
    elif field.message_type is not None:
        same = [other for other in messages if other.DESCRIPTOR is field.message_type]
        if len(values) > 1 and kind == 1:
            first, second = chance.randrange(len(values)), chance.randrange(len(values))
            copy = type(values[0])()
            copy.CopyFrom(values[first])
            values[first].CopyFrom(values[second])
            values[second].CopyFrom(copy)
        elif same:
            copy = type(same[0])()
            copy.CopyFrom(chance.choice(same))
            values.add().CopyFrom(copy)
    elif len(values) and kind != 1:
        at = chance.randrange(len(values))
        values[at] = _scalar(field, values[at], messages, chance)
    else:
        values.append(_scalar(field, None, messages, chance))


def _scalar(field: Any, old: Any, messages: Sequence[Any], chance: random.Random) -> Any:
    if field.type == FieldDescriptor.TYPE_STRING:
        edges = [name for message in messages if message.DESCRIPTOR.name == "NodeProto" for name in (*message.input, *message.output)]
        return chance.choice(OPERATORS) if field.name == "op_type" else chance.choice((*edges, *NAMES))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return chance.choice((bits, cut, blocks))(old or b"", chance)
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return chance.choice(FLOATS)
    if field.enum_type is not None:
        return chance.choice([value.number for value in field.enum_type.values])
    near = [] if old is None else [old + 1, old - 1]
    low, high = (-(1 << 31), (1 << 31) - 1) if field.type == FieldDescriptor.TYPE_INT32 else (-(1 << 63), (1 << 63) - 1)
    if field.type in (FieldDescriptor.TYPE_UINT64, FieldDescriptor.TYPE_UINT32):
        low, high = 0, (1 << 32) - 1
    return min(high, max(low, chance.choice((*INTEGERS, *near, chance.randrange(30)))))


def tflite_fields(content: bytes, chance: random.Random) -> bytes:
    """Other values in the tables of the flatbuffer: indices, shapes, types, scales, options, names; parts left out, repeated, in another order."""
    model = tflite.parse(content, where="seed")
    for _ in range(chance.randint(1, 3)):
        _change_table(chance.choice(_tables(model)), chance)
    builder = flatbuffers.Builder(1024)
    try:
        builder.Finish(model.Pack(builder), tflite.FILE_IDENTIFIER)
    except Exception:  # noqa: BLE001  # a value that no field of this type holds
        return words(content, chance)
    return bytes(builder.Output())


def _tables(value: Any) -> list[Any]:
    if isinstance(value, list):
        return [table for part in value for table in _tables(part)]
    if not type(value).__module__.endswith("schema_py_generated"):
        return []
    return [*([value] if vars(value) else []), *(table for part in vars(value).values() for table in _tables(part))]


def _change_table(table: Any, chance: random.Random) -> None:
    field = chance.choice(list(vars(table)))
    value = getattr(table, field)
    if isinstance(value, bool | int | np.integer):
        setattr(table, field, chance.choice((*range(6), *INTEGERS[:16], int(value) + 1, int(value) - 1, chance.randrange(210))))
    elif isinstance(value, float | np.floating):
        setattr(table, field, chance.choice(FLOATS))
    elif isinstance(value, bytes):
        setattr(table, field, chance.choice(NAMES).encode("utf-8", "replace"))
    elif isinstance(value, np.ndarray) and value.size:
        changed = value.copy()
        if changed.dtype.kind == "f":
            changed[chance.randrange(changed.size)] = chance.choice(FLOATS)
        else:
            limits = np.iinfo(changed.dtype)
            for _ in range(chance.randint(1, 3)):
                at = chance.randrange(changed.size)
                wanted = chance.choice((*range(-1, 6), *INTEGERS, int(changed[at]) + 1, int(changed[at]) - 1))
                changed[at] = min(limits.max, max(limits.min, wanted))
        setattr(table, field, chance.choice((changed, changed, changed, value[:-1], np.concatenate([value, value]))))
    elif isinstance(value, list) and value:
        at = chance.randrange(len(value))
        setattr(table, field, chance.choice((value[:at] + value[at + 1 :], [*value, value[at]], value[::-1])))
    elif chance.random() < 0.3:
        setattr(table, field, None)


def damaged(content: bytes, kind: str, chance: random.Random) -> bytes:
    """One to three damages of a kind of file; the first can be one that has to read the sound file."""
    content = chance.choice(MUTATIONS[kind])(content, chance)
    for _ in range(chance.choice((0, 0, 0, 0, 1, 2))):
        if len(content) > MAX_DAMAGED_BYTES:  # one that repeats a part makes that hundreds of megabytes, which no worker has to spare
            break
        content = chance.choice(BINARY if kind == "tflite" else MUTATIONS[kind])(content, chance)
    return content


BINARY: tuple[Mutation, ...] = (bits, cut, blocks, words)
MUTATIONS: dict[str, tuple[Mutation, ...]] = {
    "onnx": (onnx_fields, onnx_fields, onnx_fields, onnx_fields, *BINARY),
    "tflite": (tflite_fields, tflite_fields, tflite_fields, tflite_fields, *BINARY),
    "arrays": (archive, archive, archive, *BINARY),
    "array": (npy_header, *BINARY),
    "framework": (archive_text, archive_text, archive_text, archive, *BINARY),
    "text": (text, text, text, bits, cut, blocks),
}
