"""The wire format, held against the protobuf library itself."""

from __future__ import annotations

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from servery_worker.oip import protobuf
from servery_worker.oip.protobuf import Malformed, WireType, fields

INT64, UINT64 = st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, (1 << 64) - 1)


def is_message(data: bytes) -> bool:
    """Whether the library reads it as a message of fields that it does not know."""
    try:
        service_pb2.ServerLiveRequest.FromString(data)
    except DecodeError:
        return False
    return True


def is_read(data: bytes) -> bool:
    try:
        list(fields(memoryview(data)))
    except Malformed:
        return False
    return True


PIECES = st.sampled_from(
    [
        b"\x08\x01",
        b"\x0b",
        b"\x0c",
        b"\x13",
        b"\x14",
        b"\x0a\x02ab",
        b"\x0d1234",
        b"\x0912345678",
        b"\x80",
        b"\xff",
        b"\0",
    ]
)


@given(st.binary(max_size=40) | st.lists(PIECES, max_size=12).map(b"".join))
def test_what_is_a_message_is_what_the_library_takes_for_one(data: bytes) -> None:
    assert is_read(data) == is_message(data)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"\x08", "does not end"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "does not end"),
        (b"\x0a\x05abc", "inside field 1"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f", "inside field 1"),
        (b"\x0d123", "inside field 1"),
        (b"\x00\x01", "number 0"),
        (b"\x0e", "wire type 6"),
        (b"\x0c", "did not begin"),
        (b"\x0b\x14", "did not begin"),
        (b"\x0b", "does not end"),
        (b"\x0b" * 200, "too deep"),
    ],
)
def test_what_is_no_message_is_refused_with_a_reason(data: bytes, says: str) -> None:
    with pytest.raises(Malformed, match=says):
        list(fields(memoryview(data)))


def test_a_group_is_passed_over() -> None:
    assert [field.number for field in fields(memoryview(b"\x0b\x13\x14\x0c\x20\x01"))] == [4]


@given(st.lists(UINT64, max_size=50))
def test_packed_numbers_are_read_as_the_library_writes_them(numbers: list[int]) -> None:
    packed = service_pb2.InferTensorContents(uint64_contents=numbers).SerializeToString()
    values = [field.value for field in fields(memoryview(packed))]
    assert protobuf.varints(b"".join(values)).tolist() == numbers


@given(st.lists(INT64, max_size=50))
def test_numbers_are_packed_as_the_library_packs_them(numbers: list[int]) -> None:
    ours = protobuf.packed_varints(np.array(numbers, np.int64))
    theirs = service_pb2.InferTensorContents(int64_contents=numbers).SerializeToString()
    assert (protobuf.bytes_field(3, ours) if numbers else b"") == theirs


def test_numbers_are_read_across_the_blocks_that_they_are_read_in() -> None:
    numbers = np.arange(0, 1 << 40, (1 << 40) // 500_000, dtype=np.uint64)
    assert (protobuf.varints(protobuf.packed_varints(numbers)) == numbers).all()


@pytest.mark.parametrize("packed", [b"\x80", b"\x80" * 11 + b"\x00", b"\x80" * (3 << 20) + b"\x00"])
def test_a_packed_number_that_does_not_end_is_refused(packed: bytes) -> None:
    with pytest.raises(Malformed, match="does not end"):
        protobuf.varints(packed)


@given(INT64)
def test_a_signed_number_is_the_one_that_was_written(number: int) -> None:
    [field] = fields(memoryview(protobuf.number_field(7, number)))
    assert (field.number, field.wire_type, protobuf.signed(field.value)) == (7, WireType.VARINT, number)


def test_a_string_is_utf_8() -> None:
    assert protobuf.text(memoryview("Grüße".encode())) == "Grüße"
    with pytest.raises(Malformed, match="UTF-8"):
        protobuf.text(memoryview(b"\xff"))
