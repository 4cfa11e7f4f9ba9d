"""Composition for the Azure Functions host: the gate's addresses on one function app, in one of two ways of hosting."""

import azure.functions as func

from shared.app import build
from shared.hosting.registration import register
from shared.settings import Settings

settings = Settings.from_env()
app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
"""Anonymous to the host: who may call is the gate's to say, and a host key is no identity (threat E10)."""

if settings.http == "stream":
    # Importing this is what switches the whole app to streaming, so it happens only here.
    from shared.hosting.streaming import durable_function_for, function_for
else:
    from shared.hosting.classic import durable_function_for, function_for

gate = build(settings)
register(app, function_for, gate.handle)

if settings.jobs:
    # Importing this imports Durable, so it happens only here: a setting decides, and no slip in the policy can take
    # the functions from under jobs that run.
    from shared.hosting.jobs import register_jobs

    register_jobs(app, durable_function_for, gate)
