"""What a policy without faults allows, but looks like a slip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from msgspec import UNSET

from shared.places import Place, parse
from shared.policy.checks import seconds, show
from shared.policy.document import DefaultsTable, Document
from shared.policy.endpoints import BatchTable
from shared.policy.reader import at
from shared.policy.walk import AnyTable, allowing, listed, rules_of, tables_of

_LONG: Final = "1d"


def warnings(document: Document) -> tuple[str, ...]:
    """Return a line for each slip, with its place."""
    tables = dict(tables_of(document))
    batch = {place: table for place, table in tables.items() if isinstance(table, BatchTable)}
    return (
        *_unused_groups(document, tables),
        *_long_ages(document, tables),
        *(line for place, table in tables.items() for line in _idle_rules(place, table)),
        *(line for place, table in batch.items() for line in _of_jobs(place, table)),
        *_outputs(batch),
    )


def _unused_groups(document: Document, tables: dict[str, AnyTable]) -> Iterator[str]:
    used = {group for table in tables.values() for rule in rules_of(table) for group in listed(rule.groups)}
    for name in listed(document.groups):
        if name not in used:
            yield f"{at('groups', name)}: no rule uses this group"


def _long_ages(document: Document, tables: dict[str, AnyTable]) -> Iterator[str]:
    ages: list[tuple[str, DefaultsTable | AnyTable]] = []
    if document.defaults is not UNSET:
        ages.append(("defaults", document.defaults))
    ages.extend(tables.items())
    for place, lifetimes in ages:
        for key, age in (
            ("max-membership-age", lifetimes.max_membership_age),
            ("outage-grace", lifetimes.outage_grace),
        ):
            if age is not UNSET and seconds(age) > seconds(_LONG):
                yield f"{place}.{key}: is longer than a day; a removed member may keep access that long"


def _idle_rules(place: str, table: AnyTable) -> Iterator[str]:
    able = {rule.id for rule in allowing(rules_of(table))}
    for rule in rules_of(table):
        if rule.effect == "allow" and rule.id not in able:
            yield f"{place}.rules: {show(str(rule.id))} allows nobody: deny rules name all that it names"


def _of_jobs(place: str, table: BatchTable) -> Iterator[str]:
    if table.workspace is UNSET:
        yield (
            f"{place}.workspace: is not given, so that a job whose answer was lost cannot be looked for; it may be "
            "started twice, which the audit then says"
        )
    if table.relay_errors is not UNSET:
        yield f"{place}.relay-errors: says nothing for a batch endpoint, whose answers are the gate's own; remove it"
    for rule in listed(table.rules):
        # Whoever may see everybody's jobs is often not meant to run any.
        if rule is UNSET or rule.effect == "deny" or rule.see == "all":
            continue
        if rule.inputs is UNSET:
            yield f"{place}.rules: {show(str(rule.id))} has no inputs: its jobs can read no data"


_Tree = tuple[str, tuple[str, ...]]


def _outputs(tables: dict[str, BatchTable]) -> Iterator[str]:
    """Yield what is odd about where jobs write (threat T10)."""
    read: dict[_Tree, str] = {}
    around: dict[_Tree, str] = {}
    """Each prefix of `inputs`, and each folder that holds one, with the first place in the policy that says so."""
    for place, text in _prefixes(tables, "inputs"):
        root, path = _tree(parse(text))
        read.setdefault((root, path), place)
        for depth in range(len(path)):
            around.setdefault((root, path[:depth]), place)
    for place, text in _prefixes(tables, "outputs"):
        prefix = parse(text)
        if not prefix.folder:
            yield f"{place}: is taken for a folder, in which jobs write; end it with a slash"
        root, path = _tree(prefix)
        inside = (read[root, path[:depth]] for depth in range(len(path) + 1) if (root, path[:depth]) in read)
        if source := next(inside, None):
            yield f"{place}: lies within {source}; what one caller's job writes there, another's may read"
        elif source := around.get((root, path)):
            yield f"{place}: holds {source}; what one caller's job writes there, another's may read"


def _prefixes(tables: dict[str, BatchTable], key: str) -> Iterator[tuple[str, str]]:
    for place, table in tables.items():
        for rule in listed(table.rules):
            if rule is not UNSET:
                texts: Iterable[str] = listed(rule.inputs if key == "inputs" else rule.outputs)
                for number, text in enumerate(texts):
                    yield f"{at(f'{place}.rules', str(rule.id))}.{key}[{number}]", text


def _tree(place: Place) -> _Tree:
    # The two hosts of one account show the same data, though leave at one is none at the other.
    return place.root.replace(".dfs.core.", ".blob.core."), place.path
