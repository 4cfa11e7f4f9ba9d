"""A saved snapshot says who may do what: nobody but its owner may read it, and it is whole or not there."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from shared.bypass import snapshot
from shared.bypass.collect.saving import save
from tests.unit.bypass import world


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_snapshot_is_for_its_owner_alone_whatever_was_there_and_whatever_the_mask(tmp_path: Path) -> None:
    """A file that others could read is replaced, not written into."""
    path = tmp_path / "snapshot.json"
    path.write_text("old")
    path.chmod(0o644)
    mask = os.umask(0)
    try:
        save({"target": {"id": "größe"}}, path)
    finally:
        os.umask(mask)
    assert mode(path) == 0o600
    assert json.loads(path.read_text(encoding="utf-8")) == {"target": {"id": "größe"}}
    assert [one.name for one in tmp_path.iterdir()] == ["snapshot.json"]


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    """And no half of it beside."""
    path = tmp_path / "snapshot.json"
    path.write_text("old")
    with pytest.raises(TypeError):
        save({"target": object()}, path)
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["snapshot.json"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With the error of the system."""
    with pytest.raises(FileNotFoundError):
        save({}, tmp_path / "nowhere" / "snapshot.json")


def test_what_is_saved_is_what_is_judged(tmp_path: Path) -> None:
    """Saved and parsed it is the same snapshot."""
    document = world.document(
        {"roles": {"scorer": {"actions": ["*"]}}, "assign": [{"to": "bob", "role": "scorer"}]}
    )
    save(document, tmp_path / "snapshot.json")
    assert snapshot.parse((tmp_path / "snapshot.json").read_bytes()).document == document
