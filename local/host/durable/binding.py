"""Stand-in for the value of a durable client binding; never compared with the real one.

The links lead to the webhooks at the app's own port and hold the extension's system key, which opens every instance: whoever
hands them out gives all of Durable away. Here they lead to 401 (`local.host.http`).
"""

import json
import secrets
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote_plus

PLACEHOLDER: Final = "INSTANCEID"
WEBHOOKS: Final = "/runtime/webhooks/durabletask"


@dataclass(slots=True, kw_only=True)
class Links:
    """The links of a task hub: its name, the app's own origin, the system key, which is another in every process."""

    hub: str
    origin: str = ""
    key: str = field(default_factory=lambda: secrets.token_urlsafe(32), repr=False)

    def of(self, instance_id: str, origin: str = "") -> dict[str, str]:
        """Return the links of one instance."""
        instance = f"{origin or self.origin}{WEBHOOKS}/instances/{quote_plus(instance_id)}"
        end = f"taskHub={self.hub}&connection=Storage&code={self.key}"
        return {
            "id": instance_id,
            "statusQueryGetUri": f"{instance}?{end}",
            "sendEventPostUri": f"{instance}/raiseEvent/{{eventName}}?{end}",
            "terminatePostUri": f"{instance}/terminate?reason={{text}}&{end}",
            "rewindPostUri": f"{instance}/rewind?reason={{text}}&{end}",
            "purgeHistoryDeleteUri": f"{instance}?{end}",
            "restartPostUri": f"{instance}/restart?{end}",
            "suspendPostUri": f"{instance}/suspend?reason={{text}}&{end}",
            "resumePostUri": f"{instance}/resume?reason={{text}}&{end}",
        }

    def binding(self, rpc: str) -> str:
        """Return the JSON text that a function gets; `rpc` is the base URL of the endpoints for the worker."""
        base = f"{self.origin}{WEBHOOKS}"
        start = f"{base}/orchestrators/{{functionName}}[/{{instanceId}}]?"
        wait = "timeout={timeoutInSeconds}&pollingInterval={intervalInSeconds}&"
        return json.dumps(
            {
                "taskHubName": self.hub,
                "creationUrls": {
                    "createNewInstancePostUri": f"{start}code={self.key}",
                    "createAndWaitOnNewInstancePostUri": f"{start}{wait}code={self.key}",
                },
                "managementUrls": self.of(PLACEHOLDER),
                "baseUrl": base,
                "requiredQueryStringParameters": f"code={self.key}",
                "rpcBaseUrl": rpc,
            }
        )
