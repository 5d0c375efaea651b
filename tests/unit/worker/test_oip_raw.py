"""Raw tensors of the Open Inference Protocol: every datatype there and back, and what does not add up."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from servery_worker.codecs.bodies import BadBody
from servery_worker.oip.messages import Datatype
from servery_worker.oip.raw import read_raw, write_raw

VALUES = {
    Datatype.BOOL: np.array([True, False, True]),
    Datatype.UINT8: np.array([0, 1, 255], np.uint8),
    Datatype.UINT16: np.array([0, 1, 65535], np.uint16),
    Datatype.UINT32: np.array([0, 1, 2**32 - 1], np.uint32),
    Datatype.UINT64: np.array([0, 1, 2**64 - 1], np.uint64),
    Datatype.INT8: np.array([-128, 0, 127], np.int8),
    Datatype.INT16: np.array([-(2**15), 0, 2**15 - 1], np.int16),
    Datatype.INT32: np.array([-(2**31), 0, 2**31 - 1], np.int32),
    Datatype.INT64: np.array([-(2**63), 0, 2**63 - 1], np.int64),
    Datatype.FP16: np.array([-65504, 0.5, np.inf], np.float16),
    Datatype.BF16: np.array([-(2.0**100), 0.5, np.inf], np.float32),
    Datatype.FP32: np.array([-3.4e38, 0.1, np.inf], np.float32),
    Datatype.FP64: np.array([-1.7e308, 0.1, -np.inf]),
    Datatype.BYTES: np.array([b"", b"\xff\x00", "é".encode()], object),
}


@pytest.mark.parametrize("datatype", Datatype)
@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 3, 1)])
def test_every_datatype_comes_back_as_it_was_written(datatype: Datatype, shape: tuple[int, ...]) -> None:
    values = VALUES[datatype].reshape(shape)
    read = read_raw("Input 'x'", datatype, shape, write_raw(datatype, values))
    assert (read.dtype, read.shape, read.tolist()) == (values.dtype, shape, values.tolist())


@pytest.mark.parametrize("datatype", Datatype)
def test_an_empty_tensor_has_no_bytes(datatype: Datatype) -> None:
    assert read_raw("Input 'x'", datatype, (0, 4), b"").shape == (0, 4)


def test_elements_are_little_endian() -> None:
    assert write_raw(Datatype.INT32, np.array([1])) == b"\x01\x00\x00\x00"
    assert write_raw(Datatype.BYTES, np.array(["ab"], object)) == b"\x02\x00\x00\x00ab"
    assert write_raw(Datatype.BF16, np.array([1.0], np.float32)) == b"\x80\x3f"


def test_what_was_read_can_be_written_to() -> None:
    read_raw("Input 'x'", Datatype.FP32, (1,), b"\0\0\0\0")[0] = 1.0


def test_a_nan_stays_one_as_bf16() -> None:
    assert np.isnan(read_raw("x", Datatype.BF16, (1,), write_raw(Datatype.BF16, np.array([np.nan], np.float32)))).all()


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "says"),
    [
        (Datatype.FP32, (2,), b"\0" * 7, "expected 8 bytes"),
        (Datatype.FP32, (2,), b"\0" * 9, "got 9 bytes"),
        (Datatype.FP32, (-1,), b"", "sizes from 0 on"),
        (Datatype.FP32, (2**62, 2**62), b"", "got 0 bytes"),
        (Datatype.FP32, (2**40, 0), b"", "too large for a tensor without elements"),
        (Datatype.FP32, (1,) * 33, b"\0" * 4, "at most 32 sizes"),
        (Datatype.BOOL, (1,), b"\x02", "0 or 1, got 2"),
        (Datatype.BYTES, (1,), b"\0\0", "expected 1 elements"),
        (Datatype.BYTES, (1,), struct.pack("<I", 5) + b"abcd", "element 0 of 1 ends after"),
        (Datatype.BYTES, (1,), struct.pack("<I", 2**32 - 1), "element 0 of 1 ends after"),
        (Datatype.BYTES, (2,), struct.pack("<I", 4) + b"abcd", "element 1 of 2 ends after"),
        (Datatype.BYTES, (1,), struct.pack("<I", 1) + b"ab", "take 5 bytes, and there are 6"),
        (Datatype.BYTES, (2**62,), b"", "expected"),
    ],
)
def test_sizes_that_do_not_add_up_are_told(datatype: Datatype, shape: tuple[int, ...], raw: bytes, says: str) -> None:
    with pytest.raises(BadBody, match=r"^Input 'x': ") as caught:
        read_raw("Input 'x'", datatype, shape, raw)
    assert says in str(caught.value)
