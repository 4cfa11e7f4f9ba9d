"""What is wrong with batch endpoints and their rules whose every value is right by itself."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET

from shared.policy.context import Context
from shared.policy.endpoints import BatchRuleTable, BatchTable
from shared.policy.hosts import MANAGEMENT, NOTIFIED, url_fault
from shared.ports import Fault


def endpoint_faults(place: str, table: BatchTable, context: Context) -> Iterator[Fault]:
    """Yield the faults of the batch endpoint at `place`, those of its url and rules left aside."""
    if not context.jobs:
        yield Fault(
            place=f"{place}.kind",
            message='is "batch", and batch endpoints are off: set GROUPGATE_JOBS=on, or remove the table',
        )
    if table.management is not UNSET:
        wrong = url_fault(table.management, MANAGEMENT, allow_http=context.allow_http, allowed=context.hosts)
        if wrong:
            yield Fault(place=f"{place}.management", message=wrong)


def rule_faults(place: str, rule: BatchRuleTable, context: Context) -> Iterator[Fault]:
    """Yield the faults of what the rule at `place` lets jobs do."""
    terms = {
        "inputs": rule.inputs,
        "outputs": rule.outputs,
        "own-folder": rule.own_folder,
        "literals": rule.literals,
        "experiments": rule.experiments,
        "computes": rule.computes,
        "settings": rule.settings,
        "see": rule.see,
        "notify": rule.notify,
    }
    if rule.effect == "deny":
        for key, value in terms.items():
            if value is not UNSET:
                yield Fault(
                    place=f"{place}.{key}",
                    message="is for rules that allow; a deny rule refuses every job, whatever it reads or writes",
                )
        return
    if rule.own_folder is not UNSET and rule.outputs is UNSET and context.sound(f"{place}.outputs"):
        yield Fault(place=f"{place}.own-folder", message="says where outputs go, and there are none here")
    if rule.notify is not UNSET:
        yield from _notify_faults(f"{place}.notify", rule.notify, context)


def _notify_faults(place: str, url: str, context: Context) -> Iterator[Fault]:
    wrong = url_fault(url, NOTIFIED, allow_http=context.allow_http, allowed=context.hosts)
    if wrong:
        yield Fault(place=place, message=wrong)
    if not context.jobs_secret:
        yield Fault(
            place=place,
            message="needs a secret, with which what is told is signed: set GROUPGATE_JOBS_SECRET, or leave notify out",
        )
