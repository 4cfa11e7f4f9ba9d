"""What a policy is judged with, beside what stands in it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The settings that a policy leans on, and what of it needs no second judgement."""

    allow_http: bool
    """Whether http:// to loopback hosts is permitted."""
    shared_counters: bool
    """Whether limits can be counted for all instances together."""
    jobs: bool
    """Whether there is what batch endpoints need."""
    jobs_secret: bool
    """Whether there is a secret to sign with."""
    hosts: frozenset[str]
    """Those of `[hosts] allow`."""
    broken: frozenset[str]
    """Places of faults that reading has found, each with all that it stands in."""

    def sound(self, *places: str) -> bool:
        """Say whether reading has found nothing wrong at `places`."""
        return self.broken.isdisjoint(places)
