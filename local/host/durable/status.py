"""Stand-in for the Durable extension's view of an instance, as JSON; never compared with the real one."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from local.host.durable.history import token
from local.host.durable.records import Instance


def status_of(instance: Instance, *, with_input: bool) -> dict[str, Any]:
    """Show an instance as the extension does, its times in whole seconds."""
    return {
        "name": instance.name,
        "instanceId": instance.id,
        "runtimeStatus": instance.status,
        "input": token(instance.input) if with_input else None,
        "customStatus": token(instance.custom),
        "output": token(instance.output),
        "createdTime": _seconds(instance.created),
        "lastUpdatedTime": _seconds(instance.updated),
    }


def flag(query: Mapping[str, str], name: str, *, default: bool = False) -> bool:
    """Read a flag of a query; what is no flag counts as absent."""
    return {"true": True, "false": False}.get(query.get(name, "").strip().lower(), default)


def _seconds(at: int) -> str:
    return datetime.fromtimestamp(at // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
