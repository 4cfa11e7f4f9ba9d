"""Durable Functions: the addresses of batch endpoints, the orchestrations and the activities, on the function app.

The only importer of azure.durable_functions, itself imported with GROUPGATE_JOBS=on and not otherwise.
"""

# Annotations stay objects here: the worker reads them to bind what it gives (no `from __future__ import annotations`).
from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import azure.durable_functions as df  # type: ignore[import-untyped]  # it has no types
import azure.functions as func

from shared.app import App
from shared.hosting.registration import Function, Handle, Keep
from shared.job import ORCHESTRATOR
from shared.jobs import orchestrator, steps
from shared.jobs.activities import Activities
from shared.jobs.store import NOTE, DurableStore
from shared.problem import Problem
from shared.surface import ADDRESSES

CLIENT: Final = "client"
"""The parameter that takes the durable client, in every function that has one."""
RETRY: Final = df.RetryOptions(first_retry_interval_in_milliseconds=300_000, max_number_of_attempts=24)
"""For telling the end of a job: every five minutes, for about two hours. Intervals that grow the library has none."""

Step = Callable[[Activities, DurableStore, str], Awaitable[dict[str, Any]]]
ACTIVITIES: Final[Mapping[str, Step]] = MappingProxyType(
    {
        steps.SUBMIT: Activities.submit,
        steps.POLL: Activities.poll,
        steps.CANCEL: Activities.cancel,
        steps.END: Activities.end,
        steps.NOTIFY: Activities.notify,
    }
)


class NotWired(Exception):
    """An activity could not begin, for a setting is wrong; the message says no more than that."""


def register_jobs(
    app: func.FunctionApp, function_for: Callable[[str, Handle, Keep], Function], gate: App
) -> None:
    """Register what batch endpoints need on `app`; `function_for` serves an address with a durable client."""
    # The level is the app's; said here too, for a blueprint's default is a function key, which is no identity (E10).
    blueprint = df.Blueprint(http_auth_level=func.AuthLevel.ANONYMOUS)
    with_client = blueprint.durable_client_input(client_name=CLIENT)
    for name, address in ADDRESSES.items():
        if address.durable:
            served = with_client(function_for(name, gate.handle, DurableStore))
            blueprint.function_name(name)(blueprint.route(route=address.template)(served))
    for name, code in ((ORCHESTRATOR, orchestrator.orchestration(RETRY)), (NOTE, orchestrator.note)):
        # The parameter is the library's own, which has this name and no other.
        blueprint.function_name(name)(blueprint.orchestration_trigger(context_name="context")(code))
    for name, step in ACTIVITIES.items():
        done = with_client(_activity(step, gate))
        blueprint.function_name(name)(blueprint.activity_trigger(input_name="job")(done))
    app.register_functions(blueprint)


def _activity(step: Step, gate: App) -> Function:
    """Return the function that does one step of a job, for a store that finds the job by what it is given, or none."""

    async def activity(job: Any, client: Any) -> Any:
        try:
            activities = gate.work()
        except Problem as fault:
            # Durable keeps the text of what is raised, and the host logs it with its causes.
            raise NotWired(str(fault)) from None
        return await step(activities, DurableStore(client), job)

    return activity
