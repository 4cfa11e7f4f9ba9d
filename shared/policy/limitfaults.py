"""What is wrong with the limits of a rule whose every value is right by itself."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from shared.policy.context import Context
from shared.policy.models import ModelRuleTable
from shared.ports import Fault


def limit_faults(place: str, rule: ModelRuleTable, context: Context) -> Iterator[Fault]:
    """Yield the faults of the limits of the rule at `place`, and of what belongs to them."""
    table = rule.limits
    beside = {"per": rule.per, "scope": rule.scope, "fail": rule.fail}
    if table is UNSET:
        for key, value in beside.items():
            if value is not UNSET and context.sound(f"{place}.limits"):
                yield Fault(place=f"{place}.{key}", message="says how limits count, and there are none here")
        return
    here = f"{place}.limits"
    inside = {"per": table.per, "scope": table.scope, "fail": table.fail}
    for key, value in beside.items():
        if value is not UNSET and inside[key] is not UNSET:
            yield Fault(place=f"{place}.{key}", message="stands in limits as well; keep one")
    if rule.effect == "deny":
        yield Fault(place=here, message="is for rules that allow; a deny rule gives nothing away")
    unlimited = table.requests is UNSET and table.tokens is UNSET
    if unlimited and context.sound(f"{here}.requests", f"{here}.tokens"):
        yield Fault(place=here, message="needs at least one of requests and tokens")
    scope = beside["scope"] if inside["scope"] is UNSET else inside["scope"]
    fail = beside["fail"] if inside["fail"] is UNSET else inside["fail"]
    if scope == "instance" and fail == "local":
        yield Fault(
            place=here, message='has fail = "local", which is for limits in Redis, and scope = "instance"'
        )
    if scope != "instance" and not context.shared_counters and context.sound(f"{here}.scope"):
        yield Fault(
            place=here,
            message="are counted for all instances together, in Redis: set GROUPGATE_REDIS_URL, or write "
            'scope = "instance" to let every instance count for itself',
        )
