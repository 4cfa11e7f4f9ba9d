"""Which groups a caller is in: young claims, answers of Graph that are young enough, and one question for the rest.

A claim proves membership, never absence; only Graph says OUT. Where both speak, Graph wins, and an answer of Graph that
has grown too old does not bring back a claim that is older still (design, section 2; threats E01, E03, E06).
"""

from __future__ import annotations

import heapq
from typing import Final

from shared.flight import Flight, Flights
from shared.membership.cache import Answered, Cache, Entry, Key
from shared.membership.graph import BATCH
from shared.model import Fact, Kind, Lifetimes, Membership, Principal, Source, Standing
from shared.ports import Clock, Directory

CLOCK_SKEW: Final = 120.0
"""Seconds that a claim may have been issued ahead of this clock."""

_NOTHING: Final = Membership()


class _Landed:
    """What one question brought: the members among the groups asked, None when the principal does not exist."""

    __slots__ = ("at", "members")

    def __init__(self, members: frozenset[str] | None, at: float) -> None:
        self.members: Final = members
        self.at: Final = at


class Resolver:
    """A ports.Memberships for one policy: it asks for that policy's groups only, and keeps answers under its digest."""

    def __init__(
        self,
        directory: Directory,
        clock: Clock,
        *,
        policy_digest: str,
        policy_groups: frozenset[str],
        max_principals: int = 10_000,
    ) -> None:
        self._directory: Final = directory
        self._clock: Final = clock
        self._digest: Final = policy_digest
        self._groups: Final = policy_groups
        self._cache: Final = Cache(max_principals)
        self._flights: Final[Flights[Key, frozenset[str], _Landed]] = Flights()

    def known(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        """Return what young claims and unexpired answers tell of `groups`, without asking anybody."""
        entry = self._cache.get(self._key(principal))
        claimed = groups & principal.groups
        if entry is None:
            if not claimed:
                return _NOTHING
            claim = self._claim(principal, lifetimes)
            return _NOTHING if claim is None else Membership(facts=dict.fromkeys(claimed, claim))
        return self._merge(
            entry, groups, self._claim(principal, lifetimes) if claimed else None, claimed, lifetimes
        )

    async def ask(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        """Return what is known of `groups` after asking the directory for those of them that are open.

        Raise problem.Undecidable when it cannot say. However many ask at once, each group is asked about once, and none
        of those who wait can cancel the question for the rest. An undecided kind has no path to ask at.
        """
        known = self.known(principal, groups, lifetimes)
        needed = (groups & self._groups) - known.facts.keys()
        if not needed or known.missing is not None or principal.kind is Kind.UNDECIDED:
            return known
        facts = dict(known.facts)
        for flight in self._board(principal, needed, lifetimes):
            landed = await flight.land()
            age = self._clock.monotonic() - landed.at
            outside = Fact(standing=Standing.OUT, source=Source.GRAPH, age=age)
            if landed.members is None:
                return Membership(missing=outside)
            inside = Fact(standing=Standing.IN, source=Source.GRAPH, age=age)
            facts |= {
                group: inside if group in landed.members else outside for group in needed & flight.cargo
            }
        return Membership(facts=facts)

    def graced(self, principal: Principal, groups: frozenset[str], lifetimes: Lifetimes) -> Membership:
        """Return `known`, widened by Graph's own answers that are past their age but within `outage_grace`.

        Their age runs on from when Graph gave them: grace never renews itself (threat E06).
        """
        known = self.known(principal, groups, lifetimes)
        entry = self._cache.get(self._key(principal))
        if lifetimes.outage_grace <= 0 or entry is None or known.missing is not None:
            return known
        now, limit = self._clock.monotonic(), lifetimes.max_age + lifetimes.outage_grace
        if entry.missing is not None:
            # Only a claim from after that answer is in `known` by now, and nothing older is.
            stays = not known.facts and now - entry.missing.at <= limit
            return Membership(missing=_fact(entry.missing, Source.GRACE, now)) if stays else known
        facts = dict(known.facts)
        for group in groups - facts.keys():
            answered = entry.groups.get(group)
            if answered is not None and now - answered.at <= limit:
                facts[group] = _fact(answered, Source.GRACE, now)
        return Membership(facts=facts)

    def _key(self, principal: Principal) -> Key:
        return (principal.tenant, principal.kind, principal.oid, self._digest)

    def _claim(self, principal: Principal, lifetimes: Lifetimes) -> Fact | None:
        """Return the fact that each group claim of `principal` is, None when the claims are too old or undated."""
        if principal.issued_at is None:
            return None
        age = self._clock.time() - principal.issued_at
        if not -CLOCK_SKEW <= age <= lifetimes.max_age:
            return None
        return Fact(standing=Standing.IN, source=Source.CLAIM, age=max(0.0, age))

    def _merge(
        self,
        entry: Entry,
        groups: frozenset[str],
        claim: Fact | None,
        claimed: frozenset[str],
        lifetimes: Lifetimes,
    ) -> Membership:
        now = self._clock.monotonic()
        longest_in = lifetimes.max_age
        longest_out = min(lifetimes.recheck_refused, longest_in)
        missing = entry.missing
        if missing is not None:
            if now - missing.at <= longest_out:
                return Membership(missing=_fact(missing, Source.CACHE, now))
            if claim is None or claim.age >= now - missing.at:
                return _NOTHING
        facts: dict[str, Fact] = {}
        made: dict[Answered, Fact] = {}
        answers = entry.groups
        for group in groups:
            answered = answers.get(group)
            if answered is None:
                if claim is not None and group in claimed:
                    facts[group] = claim
                continue
            age = now - answered.at
            if age <= (longest_in if answered.standing is Standing.IN else longest_out):
                fact = made.get(answered)
                if fact is None:
                    fact = made[answered] = Fact(standing=answered.standing, source=Source.CACHE, age=age)
                facts[group] = fact
            elif claim is not None and group in claimed and claim.age < age:
                facts[group] = claim
        return Membership(facts=facts)

    def _board(
        self, principal: Principal, needed: frozenset[str], lifetimes: Lifetimes
    ) -> list[Flight[frozenset[str], _Landed]]:
        """Return flights that together bring `needed`: those in the air, and one more for what none of them brings."""
        key = self._key(principal)
        aloft = self._flights.aloft(key)
        boarded = [flight for flight in aloft if flight.cargo & needed]
        rest = needed.difference(*(flight.cargo for flight in boarded))
        spare = -len(rest) % BATCH
        if spare:
            # Filled up to whole batches: a policy of up to twenty groups costs one call for all of its routes.
            known = self.known(principal, self._groups, lifetimes)
            others = self._groups.difference(needed, known.facts, *(flight.cargo for flight in aloft))
            rest = rest.union(heapq.nsmallest(spare, others))
        if rest:
            boarded.append(self._flights.launch(key, rest, self._ask(principal, key, rest)))
        return boarded

    async def _ask(self, principal: Principal, key: Key, groups: frozenset[str]) -> _Landed:
        members = await self._directory.check_member_groups(principal.kind, principal.oid, groups)
        at = self._clock.monotonic()
        self._cache.record(key, groups, members, at)
        return _Landed(members, at)


def _fact(answered: Answered, source: Source, now: float) -> Fact:
    return Fact(standing=answered.standing, source=source, age=now - answered.at)
