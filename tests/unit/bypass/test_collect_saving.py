"""A saved snapshot or page says who may do what: nobody but its owner may read it, and it is whole or not there."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from shared.bypass import snapshot
from shared.bypass.collect.saving import save, write
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


def test_a_page_is_for_its_owner_alone_and_goes_where_it_is_named(tmp_path: Path) -> None:
    """A file that others could read is replaced; so is a link, and what it leads to stays."""
    other, link = tmp_path / "other.txt", tmp_path / "page.html"
    other.write_text("another's")
    other.chmod(0o644)
    link.symlink_to(other)
    write("größe", link)
    assert (mode(link), link.is_symlink(), link.read_text("utf-8")) == (0o600, False, "größe")
    assert other.read_text() == "another's"
    write("new", other)
    assert (mode(other), other.read_text()) == (0o600, "new")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["other.txt", "page.html"]


def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path) -> None:
    """Whoever may write anywhere would lose a device by its name, such as /dev/null."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link, tmp_path):
        with pytest.raises(OSError, match="is not a plain file"):
            write("page", path)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["link", "pipe"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


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
