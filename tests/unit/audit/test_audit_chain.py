"""The chain: what it shows, and what it cannot."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.audit import verify
from shared.audit.chain import GENESIS, Chain, digest


def sealed(count: int, process: str = "p1", chain: Chain | None = None) -> list[bytes]:
    """Return `count` chained records of one process."""
    chain = chain or Chain()
    return [chain.seal(b'{"process":"%b","n":%d}\n' % (process.encode(), number)) for number in range(count)]


@given(st.data())
def test_t23_a_removed_record_breaks_the_chain(data: st.DataObject) -> None:
    """Threat T23: any record but the last, whose successor does not exist yet."""
    lines = sealed(data.draw(st.integers(2, 8)))
    del lines[data.draw(st.integers(0, len(lines) - 2))]
    assert verify(lines)


@given(st.data())
def test_t23_an_altered_record_breaks_the_chain(data: st.DataObject) -> None:
    """Threat T23: one changed byte anywhere before the last record."""
    lines = sealed(data.draw(st.integers(2, 8)))
    which = data.draw(st.integers(0, len(lines) - 2))
    place = data.draw(st.integers(0, len(lines[which]) - 2))
    line = bytearray(lines[which])
    line[place] ^= data.draw(st.integers(1, 255))
    lines[which] = bytes(line)
    assert verify(lines)


@given(st.data())
def test_t23_reordered_records_break_the_chain(data: st.DataObject) -> None:
    """Threat T23: any order but the one in which they were written."""
    lines = sealed(data.draw(st.integers(2, 8)))
    other = data.draw(st.permutations(lines))
    assert bool(verify(other)) == (other != lines)


def test_t23_a_record_put_in_between_breaks_the_chain() -> None:
    """Threat T23: a forged record that follows its predecessor correctly is not followed by its successor."""
    lines = sealed(3)
    forged = Chain(seq=1, previous=digest(lines[0])).seal(b'{"process":"p1","forged":true}\n')
    assert verify([lines[0], forged, *lines[1:]]) == [
        "line 3: does not follow the record before it",
        "line 3: has number 2 where 3 was due",
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"nonsense\n",
        b"[]\n",
        b"{}\n",
        b'{"process":"p","seq":true,"previous":""}\n',
        b"\xff\n",
        b"[" * 100_000,
    ],
)
def test_t23_a_line_that_is_no_record_is_reported(line: bytes) -> None:
    """Verification is total: whatever a file holds is a problem with its line number, never an exception."""
    assert any(problem.startswith("line 3:") for problem in verify([*sealed(2), line]))


def test_an_unaltered_chain_has_no_problem() -> None:
    """The first record follows 64 zeros, each other the hash of the line before it, without its line feed."""
    lines = sealed(5)
    assert verify(lines) == []
    assert b'"previous":"%b"' % GENESIS.encode() in lines[0]
    assert b'"previous":"%b"' % digest(lines[0][:-1]).encode() in lines[1]


def test_a_second_process_continues_the_hashes_with_numbers_of_its_own() -> None:
    """The ruling on `file:PATH`: a process that appends to an older file continues its chain."""
    older = sealed(3)
    assert verify(older + sealed(2, "p2", Chain(previous=digest(older[-1])))) == []


def test_a_rotated_part_verifies_with_the_hash_before_it() -> None:
    """A part by itself follows something that is not there, and says so, unless the verifier is given the hash."""
    lines = sealed(5)
    assert verify(lines[2:]) == [
        "line 1: does not follow the record before it",
        "line 1: has number 3 where 1 was due",
    ]
    assert verify(lines[2:], previous=digest(lines[1])) == []
