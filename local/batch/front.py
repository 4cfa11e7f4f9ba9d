"""Stands in for an Azure ML batch endpoint, its workspace's list of jobs, and their cancel by Azure Resource Manager.

Not verified against the real service: the words and statuses of its own errors; that it keeps a job's own tags and lists
them; which token the list takes (here: the management's, which azure-ai-ml sends) and in which order jobs come (here:
newest first); whether the scoring URI answers a GET (here: no); that Azure Resource Manager knows a batch endpoint's
jobs; whether `repeatability_request-id` removes duplicates (here: no); what predictions.csv holds. Each of these has a
switch where it matters. Jobs really run: the local model scores CSV files out of folders.
"""

import time
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from aiohttp import web

from local.azureml import AUDIENCE, DEPLOYMENT
from local.batch import bodies
from local.batch.faults import BatchFaults
from local.batch.jobs import FINAL, Job, Runner, Scorer
from local.batch.scorer import ModelScorer
from local.batch.storage import Storage
from local.entra import Entra
from local.standin import StandIn

MANAGEMENT = "https://management.azure.com"
WORKSPACE = (
    "/subscriptions/5c1d2e3f-0000-4000-8000-000000000001/resourceGroups/rg-ml"
    "/providers/Microsoft.MachineLearningServices/workspaces/contoso-ml"
)
LIST_VERSION = "2020-09-01-dataplanepreview"
ARM_VERSION = "2025-12-01"
TAG = "groupgate-job"
_TYPE = "Microsoft.MachineLearningServices/workspaces/batchEndpoints"
_DEFAULT_OUTPUT = "/datastores/workspaceblobstore/paths/azureml/{}/score/" + bodies.PREDICTIONS
_SAS = "?sv=2025-11-05&sr=b&sp=rw&se=2030-01-01T00%3A00%3A00Z&sig=c2VjcmV0LW9mLXRoZS1zdG9yYWdl"


class BatchEndpoint(StandIn):
    """Take jobs from whoever may invoke, run them, tell how they go, end them."""

    def __init__(
        self,
        entra: Entra,
        accounts: Mapping[str, Path],
        *,
        may_invoke: set[str],
        datastores: Mapping[str, str] | None = None,
        name: str = "irises",
        deployments: Collection[str] = ("blue", "green"),
        workspace: str = WORKSPACE,
        scorer: Scorer | None = None,
        port: int = 0,
    ) -> None:
        """Serve the object ids in `may_invoke`; `accounts` are storage accounts' folders, `datastores` containers' URLs.

        The first of `deployments` is the default one. Without a datastore `workspaceblobstore` a job must say where its
        output goes. `scorer` is for tests that need no model.
        """
        super().__init__(port=port)
        self.faults: BatchFaults = BatchFaults(tokens=self.mints_tokens, streams=self.streams_bodies)
        self.entra = entra
        self.name = name
        self.deployments = list(deployments)
        self.workspace = workspace
        self.may_invoke = may_invoke
        self.storage = Storage(accounts, datastores or {}, workspace=workspace)
        self.runner = Runner(self.storage, scorer or ModelScorer())
        self.jobs: dict[str, Job] = {}
        """Every job that was ever taken, by name."""
        self.posts: Counter[str] = Counter()
        """Requests to start a job that were taken, by their `repeatability_request-id`."""

        self.deduplicates = False
        """Whether a `repeatability_request-id` that was seen gives the job that it made."""
        self.hidden = 0.0
        """Seconds for which the list does not show a new job."""
        self.page = 20
        """Jobs in one page of the list."""
        self.keeps_tags = True
        """Whether answers show a job's own tags."""
        self.lists_itself = False
        """Whether the scoring URI answers a GET with the list."""
        self.cancels = True
        """Whether a cancel has any effect."""
        self.shown: str | None = None
        """A status that answers tell instead of the true one, as long as it is set; `NotResponding` for example."""
        self.signs_outputs = False
        """Whether the outputs' addresses come with a SAS, which nobody may see."""

    @property
    def scoring_uri(self) -> str:
        """The endpoint's scoring URI."""
        return f"{self.url}/{self.name}/jobs"

    def tagged(self, tag: str) -> list[Job]:
        """Give every job that carries the value `tag` under `groupgate-job`: more than one are duplicates."""
        return [job for job in self.jobs.values() if job.tags.get(TAG) == tag]

    @property
    def by_tag(self) -> Counter[str]:
        """How many jobs carry each value of `groupgate-job`."""
        return Counter(job.tags.get(TAG, "") for job in self.jobs.values())

    def routes(self) -> list[web.RouteDef]:
        """Serve the endpoint, the list and the cancel."""
        return [
            web.post(f"/{self.name}/jobs", self._post),
            web.get(f"/{self.name}/jobs", self._list_itself),
            web.get(f"/{self.name}/jobs/{{job}}", self._get),
            web.get(f"/mferp/managementfrontend{self.workspace}/batchEndpoints/{self.name}/jobs", self._list),
            web.post(f"{self.workspace}/jobs/{{job}}/cancel", self._cancel),
        ]

    async def opened(self) -> None:
        """Let jobs that stood still go on."""
        for job in self.jobs.values():
            if job.status not in FINAL:
                self.runner.run(job)

    async def closed(self) -> None:
        """Let every job stand still."""
        await self.runner.stop()

    async def _post(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, AUDIENCE)) is not None:
            return refusal
        if request.content_type != "application/json":
            return _error(415, "The body must be application/json.")
        deployment = request.headers.get(DEPLOYMENT, self.deployments[0])
        if deployment not in self.deployments:
            return _error(404, "There is no such deployment.")
        try:
            wished = bodies.read(await request.read())
        except bodies.BadBodyError as fault:
            return _error(400, str(fault))
        request_id = request.headers.get("repeatability_request-id", "")
        self.posts[request_id] += 1
        if self.deduplicates and request_id:
            for job in self.jobs.values():
                if job.request_id == request_id:
                    return web.json_response(self._shown(job), status=201)
        name = f"batchjob-{uuid4()}"
        job = Job(
            number=len(self.jobs) + 1,
            name=name,
            deployment=deployment,
            request_id=request_id,
            tags=wished.tags,
            input=wished.input,
            output=wished.output or f"{self.workspace}{_DEFAULT_OUTPUT.format(name)}",
        )
        self.jobs[name] = job
        self.runner.run(job)
        return web.json_response(self._shown(job), status=201)

    async def _get(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, AUDIENCE)) is not None:
            return refusal
        job = self.jobs.get(request.match_info["job"])
        return _error(404, "There is no such job.") if job is None else web.json_response(self._shown(job))

    async def _list_itself(self, request: web.Request) -> web.Response:
        if not self.lists_itself:
            return _error(405, "Only jobs are asked for here.")
        refusal = self._refusal(request, AUDIENCE)
        return self._page(request) if refusal is None else refusal

    async def _list(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, MANAGEMENT)) is not None:
            return refusal
        if request.query.get("api-version") != LIST_VERSION:
            return _error(400, "There is no such api-version.")
        return self._page(request)

    def _page(self, request: web.Request) -> web.Response:
        """Give the newest jobs before the one whose number the token is: those that come meanwhile shift nothing."""
        before = int(request.query.get("$skiptoken", len(self.jobs) + 1))
        visible = time.monotonic() - self.hidden
        older = [job for job in reversed(self.jobs.values()) if job.number < before and job.made <= visible]
        answer: dict[str, Any] = {"value": [self._shown(job, listed=True) for job in older[: self.page]]}
        if len(older) > self.page:
            token = {"$skiptoken": str(older[self.page - 1].number)}
            answer["nextLink"] = str(request.url.update_query(token))
        return web.json_response(answer)

    async def _cancel(self, request: web.Request) -> web.Response:
        if (refusal := self._refusal(request, MANAGEMENT)) is not None:
            return refusal
        if request.query.get("api-version") != ARM_VERSION:
            return _error(400, "There is no such api-version.")
        job = self.jobs.get(request.match_info["job"])
        if job is None:
            return _error(404, "There is no such job.")
        if self.cancels:
            self.runner.cancel(job)
        return web.Response(status=202)

    def _refusal(self, request: web.Request, audience: str) -> web.Response | None:
        claims = self.entra.bearer(request, audience=audience)
        if claims is None:
            return _error(401, "The token is missing, expired, or not for this service.")
        return (
            None
            if claims["oid"] in self.may_invoke
            else _error(403, "Microsoft Entra Token denied by policy.")
        )

    def _shown(self, job: Job, *, listed: bool = False) -> dict[str, Any]:
        """Give a job as the service shows it; the list has it below its deployment (as in published recordings)."""
        below = f"/deployments/{job.deployment}" if listed else ""
        of_azure = {"azureml.deploymentname": job.deployment}
        properties: dict[str, Any] = {
            "status": self.shown or job.status,
            "tags": of_azure | {"azureml.batchrun": "true"} | (job.tags if self.keeps_tags else {}),
            "properties": of_azure | {"azureml.endpointname": self.name},
            "interactionEndpoints": {
                "Studio": {
                    "jobEndpointType": "Studio",
                    "endpoint": f"https://ml.azure.com/runs/{job.name}?wsid={self.workspace}",
                }
            },
        }
        if job.status in ("Finalizing", "Completed"):
            uri = job.output + (_SAS if self.signs_outputs else "")
            properties["outputData"] = {
                "score": {"jobOutputType": "UriFile", "mode": "ReadWriteMount", "uri": uri}
            }
        return {
            "id": f"{self.workspace}/batchEndpoints/{self.name}{below}/jobs/{job.name}",
            "name": job.name,
            "type": f"{_TYPE}{'/deployments' if listed else ''}/jobs",
            "properties": properties,
        }


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": {"code": str(status), "message": message}}, status=status)
