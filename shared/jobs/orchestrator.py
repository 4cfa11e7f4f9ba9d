"""The orchestrations of Durable Functions: what a job does next, and nothing else.

Durable runs this code again and again over the same history, perhaps by another instance and a later deployment of the
app. So it is deterministic: time is the context's, chance and I/O are for activities, and a test keeps it so (threat
F45). It asks an activity, takes its Step into the job's progress, shows that, and pauses. An activity that fails, for
whatever reason, has said nothing: it is asked again, until the bound that the policy gave the job has passed.
Code that asks for something else than it did, or in another order, still has to do as before in histories whose first
Step has an older version: a test replays one.

History stays small: after ROUNDS looks, and as soon as an activity says that other code is deployed than at the
beginning of this history, the orchestration goes on as a new one with nothing but the intent and the progress.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from copy import replace
from datetime import UTC, timedelta
from typing import Any, Final

import msgspec

from shared.job import FINAL, Intent, Progress
from shared.jobs import steps
from shared.jobs.steps import Step

SHORTEST: Final = 2.0
LONGEST: Final = 60.0
GROWTH: Final = 1.5
"""Pauses between two looks begin with SHORTEST seconds, and grow by GROWTH to LONGEST while nothing changes."""
MOST_TOLD: Final = 600.0
"""Seconds: a longer pause that the service asks for is this long, so that a lost wake-up call does not matter much."""
ROUNDS: Final = 10
"""Looks in one history."""
CANCEL_BOUND: Final = 600.0
"""Seconds after which an end that was asked for and is not seen is given up (protocols, 9.1)."""
END_BOUND: Final = 86_400.0
"""Seconds beyond the job's own bound for which recording its end is tried."""
NOTE_TIME: Final = timedelta(days=6)
"""How long a note's name is taken by a running orchestration. Durable cuts longer timers in pieces."""
_CANCEL_REQUESTED: Final = "CancelRequested"

Replies = Generator[Any, Any, Any]
"""Yields Durable's tasks and is sent their results."""


def orchestration(retry: object) -> Callable[[Any], Replies]:
    """Return the orchestrator function `groupgate_job`; `retry` are Durable's retry options for telling the end.

    Its input is `{"intent": ..., "progress": ... | null}`, its custom status and its output are the progress.
    """

    def job(context: Any) -> Replies:
        run = _Run(context)
        if run.intent.job != context.instance_id:
            return None  # started by hand, under a name that is not its own
        run.show()
        while not run.progress.ended:
            yield from run.look()
            if run.progress.ended:
                break
            if run.outdated:
                return run.go_on()
            yield from run.pause()
            run.rounds += 1
            if run.rounds >= ROUNDS:
                return run.go_on()
        run.show()
        yield from run.tell(retry)
        run.show()
        return msgspec.to_builtins(run.progress)

    return job


def note(context: Any) -> Replies:
    """Keep a note's name taken: the orchestrator function `groupgate_note`, whose input is the note's value."""
    yield context.create_timer(context.current_utc_datetime + NOTE_TIME)


class _Run:
    """One history of a job."""

    def __init__(self, context: Any) -> None:
        given = context.get_input()
        self.intent: Final = msgspec.convert(given["intent"], Intent)
        self.progress = msgspec.convert(given.get("progress") or {}, Progress)
        self.rounds = 0
        self.outdated = False
        """Whether other code is deployed by now than when this history began."""
        self._context: Final = context
        self._deadline: Final = self.intent.accepted + self.intent.job_timeout
        self._version: int | None = None
        self._told = 0.0
        self._wake: Any = None
        self._woken = False

    def show(self) -> None:
        """Let everybody see how far the job has come."""
        self._context.set_custom_status(msgspec.to_builtins(self.progress))

    def go_on(self) -> None:
        """End this history and begin the next."""
        self._context.continue_as_new(msgspec.to_builtins({"intent": self.intent, "progress": self.progress}))

    def look(self) -> Replies:
        """Do what is to be done next, and take what comes of it."""
        before = self.progress
        self._told = 0.0
        if before.status not in FINAL:
            if before.upstream is None:
                self._take((yield from self._ask(steps.SUBMIT)))
            else:
                yield from self._follow()
            self._give_up()
        if self.progress.status in FINAL:
            # Shown first: the activity records what it reads there.
            self.show()
            yield from self._end()
        changed = (self.progress.status, self.progress.upstream, self.progress.cancel) != (
            before.status,
            before.upstream,
            before.cancel,
        )
        grown = SHORTEST if changed else min(LONGEST, max(SHORTEST, before.wait * GROWTH))
        self.progress = replace(self.progress, wait=max(grown, min(self._told, MOST_TOLD)))
        self.show()

    def pause(self) -> Replies:
        """Wait for the next look, or for somebody who wants it now: once in a history, so that nobody makes it busy."""
        if self._wake is None:
            # One for the whole history: an event that comes between two pauses is there at the next.
            self._wake = self._context.wait_for_external_event(steps.WAKE)
        if self._wake.is_completed and not self._woken:
            self._woken = True
            return
        now = self._now()
        wait = self.progress.wait
        if now < self._deadline:
            wait = min(wait, self._deadline - now)
        timer = self._context.create_timer(self._context.current_utc_datetime + timedelta(seconds=wait))
        if self._woken:
            yield timer
            return
        first = yield self._context.task_any([timer, self._wake])
        if first is self._wake:
            self._woken = True
            if not timer.is_completed:
                timer.cancel()

    def tell(self, retry: object) -> Replies:
        """Tell the end to whom the rule says, as often as `retry` lets it be tried."""
        if self.intent.notify is None:
            return
        try:
            yield self._context.call_activity_with_retry(steps.NOTIFY, retry, self.intent.job)
        except Exception:  # noqa: BLE001 - Durable raises no other type; the job has ended either way
            self.progress = replace(self.progress, code=self.progress.code or steps.NOTIFY_FAILED)

    def _follow(self) -> Replies:
        """Ask how the job at Azure ML is, and for its end first where that is wanted."""
        if self.progress.cancel and self.progress.cancel_since is None:
            self.progress = replace(self.progress, cancel_since=self._now())
            self.show()
        if self.progress.cancel and self.progress.status != _CANCEL_REQUESTED:
            self._take((yield from self._ask(steps.CANCEL)))
        self._take((yield from self._ask(steps.POLL)))
        self.progress = replace(self.progress, polls=self.progress.polls + 1)

    def _end(self) -> Replies:
        """Have the end recorded. Its own code and status stay as they are."""
        step = yield from self._ask(steps.END)
        if step is not None and step.ended:
            self.progress = replace(self.progress, ended=True, ended_at=self._now())
        elif self._now() >= self._deadline + END_BOUND:
            self.progress = replace(
                self.progress,
                ended=True,
                ended_at=self._now(),
                code=self.progress.code or steps.END_NOT_RECORDED,
            )

    def _ask(self, activity: str) -> Generator[Any, Any, Step | None]:
        """Return what the activity found, None where it failed."""
        try:
            answer = yield self._context.call_activity(activity, self.intent.job)
            step = msgspec.convert(answer, Step)
        except Exception:  # noqa: BLE001 - an activity that fails ends no job, whatever failed
            return None
        self._version = step.version if self._version is None else self._version
        self.outdated = self.outdated or step.version != self._version
        self._told = max(self._told, step.wait)
        return step

    def _take(self, step: Step | None) -> None:
        """Take what an activity found into the progress. What is known once stays known, whatever comes late."""
        if step is None:
            return
        known = self.progress
        self.progress = replace(
            known,
            status=step.status or known.status,
            upstream=known.upstream or step.upstream,
            attempt=max(known.attempt, step.attempt),
            code=step.code,
            outputs=known.outputs if step.outputs is None else step.outputs,
            deployment=step.deployment or known.deployment,
            duplicate_suspected=known.duplicate_suspected or step.duplicate_suspected,
            cancel=known.cancel or step.cancel,
        )

    def _give_up(self) -> None:
        """End the job where nobody confirms its end within the bound, or nobody can be asked any more."""
        if self.progress.status in FINAL:
            return
        now = self._now()
        since = self.progress.cancel_since
        if now >= self._deadline + 2 * CANCEL_BOUND or (since is not None and now >= since + CANCEL_BOUND):
            self.progress = replace(self.progress, status="Failed", code=steps.CANCEL_NOT_CONFIRMED)

    def _now(self) -> float:
        """Return the context's time in seconds since 1970; Durable gives it in UTC, with or without saying so."""
        now: float = self._context.current_utc_datetime.replace(tzinfo=UTC).timestamp()
        return now
