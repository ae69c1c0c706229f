"""How protobuf stores an ONNX model, for what is read and written of one beside protobuf: its weights, of which that makes copies.

Source: https://protobuf.dev/programming-guides/encoding/, and the field numbers of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

LENGTH_DELIMITED = 2  # the kind of all fields whose numbers stand here, but for LOCATION_OF_TENSOR: a length comes before their content
GRAPH_OF_MODEL, INITIALIZER_OF_GRAPH = 7, 5
RAW_DATA_OF_TENSOR, COMMENT_OF_TENSOR, EXTERNAL_DATA_OF_TENSOR, LOCATION_OF_TENSOR = 9, 12, 13, 14


def head(field: int, length: int) -> bytes:
    """What stands before the content of a length-delimited field: its number and kind, and its length as a varint.

    Args:
        field: number, at most 15.
        length: of the content in bytes.
    """
    found = bytearray([field << 3 | LENGTH_DELIMITED])
    while length > 0x7F:
        found.append(length & 0x7F | 0x80)
        length >>= 7
    return bytes([*found, length])
