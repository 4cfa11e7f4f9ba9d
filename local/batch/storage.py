"""Stands in for Azure Blob Storage and a workspace's datastores: each account is a folder, each container one in it.

Not verified against the real service: nothing of its own is asked. There are no keys, no roles and no SAS here: whoever
runs a job reads and writes every account that is known. Registered data is not known at all.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

_BLOB = re.compile(r"https://([a-z0-9]{3,24})\.blob\.core\.windows\.net/([a-z0-9-]{3,63})(?:/(.*))?")
_DATASTORE = re.compile(r"(/subscriptions/.+)/datastores/([A-Za-z0-9_]+)/paths/(.*)")


class StorageError(Exception):
    """The address leads nowhere; the message says why."""


class Storage:
    """Finds the files behind addresses."""

    def __init__(
        self, accounts: Mapping[str, Path], datastores: Mapping[str, str], *, workspace: str
    ) -> None:
        """Know `accounts` (name to folder) and the workspace's `datastores` (name to URL of a container)."""
        self.accounts = dict(accounts)
        self.datastores = dict(datastores)
        self._workspace = workspace.lower()

    def path(self, uri: str) -> Path:
        """Give the file or folder behind `uri`, there or not; raise `StorageError`."""
        if datastore := _DATASTORE.fullmatch(uri):
            workspace, name, below = datastore.groups()
            if workspace.lower() != self._workspace or name not in self.datastores:
                raise StorageError(f"no datastore {name} in this workspace")
            uri = f"{self.datastores[name]}/{below}"
        blob = _BLOB.fullmatch(uri)
        if blob is None:
            raise StorageError("no address of a blob or of a datastore")
        account, container, below = blob.groups()
        folder = self.accounts.get(account)
        if folder is None:
            raise StorageError(f"no storage account {account}, or no access to it")
        found = (folder / container / unquote(below or "")).resolve()
        # Dots are plain text to the real service; here they must not lead out of the account's folder.
        if not found.is_relative_to(folder.resolve()):
            raise StorageError("a path that leads out of its account")
        return found
