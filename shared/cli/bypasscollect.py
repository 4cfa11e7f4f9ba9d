"""The collection of `groupgate bypass`: imported only where something is to be read from Azure."""

from __future__ import annotations

import argparse
import sys
from typing import Final

from shared.bypass import azure
from shared.bypass.collect.answers import Json
from shared.bypass.collect.progress import Bar
from shared.bypass.collect.signin import signed_in
from shared.bypass.collect.tokens import SignInFault
from shared.cli.bypassoptions import Misused, Untold
from shared.settings import Settings

_SETTINGS: Final = frozenset({"GROUPGATE_GRAPH_URL", "GROUPGATE_ALLOW_HTTP"})


def collected(arguments: argparse.Namespace) -> Json:
    """Return the snapshot that `arguments` ask for; raise Misused for what means nothing, Untold."""
    settings = Settings.from_env()
    faults = [str(fault) for fault in settings.faults if fault.place in _SETTINGS]
    if faults:
        raise Untold("; ".join(faults))
    try:
        wanted = azure.asked(
            arguments.target,
            gate=arguments.gate,
            identity=arguments.gate_identity,
            storage=arguments.gate_storage or (),
        )
    except ValueError as error:
        raise Misused(str(error)) from error
    cloud = azure.Cloud(
        management=(arguments.management or azure.PUBLIC.management).rstrip("/"), graph=settings.graph_url
    )
    try:
        return azure.collect(
            wanted, signed_in(), cloud=cloud, allow_http=settings.allow_http, progress=Bar(sys.stderr)
        )
    except ValueError as error:
        raise Misused(str(error)) from error
    except azure.NoTarget as fault:
        raise Untold(str(fault)) from fault
    except SignInFault as fault:
        raise Untold(fault.why) from fault
