"""Where Azure ML is asked about batch jobs: every part is the policy's, or matches a pattern in full (threats T01, T02). Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from shared.loopback import is_loopback

LIST_VERSION: Final = "2020-09-01-dataplanepreview"
ARM_VERSION: Final = "2025-12-01"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cloud:
    inference: str
    api: str
    """Domain of the data plane's own API, below which each region has its host."""
    management: str
    """Host of Azure Resource Manager."""


_CLOUDS: Final = (
    _Cloud(inference="inference.ml.azure.com", api="api.azureml.ms", management="management.azure.com"),
    _Cloud(
        inference="inference.ml.azure.us", api="api.ml.azure.us", management="management.usgovcloudapi.net"
    ),
    _Cloud(
        inference="inference.ml.azure.cn", api="api.ml.azure.cn", management="management.chinacloudapi.cn"
    ),
)
_AZURE: Final = re.compile(r"([a-z][a-z0-9-]{0,63})\.([a-z0-9]{1,40})\.(inference\.ml\.azure\.(?:com|us|cn))")
_OWN: Final = re.compile(r".*/([A-Za-z][A-Za-z0-9-]{0,63})/jobs")
_LINK: Final = re.compile(r"[!-~]{1,4096}")


def jobs_list(url: str, workspace: str | None) -> str:
    """Return where the jobs of the endpoint with the scoring URI `url` are listed.

    With a workspace that is what azure-ai-ml asks (`BatchEndpointOperations.list_jobs`): a host of the region, which it
    learns from the workspace's discovery address and which is put together here from the scoring URI's region. Not
    verified against the real service. A host that is not Azure's is asked at its own origin, for the endpoint that the
    scoring URI's path names before `/jobs`. Without a workspace, or a name, the scoring URI itself is asked, and whether
    it answers a GET is not verified either.
    """
    if workspace is None:
        return url
    parts = urlsplit(url)
    azure = _AZURE.fullmatch(parts.netloc)
    own = _OWN.fullmatch(parts.path)
    if azure is not None:
        endpoint, region, domain = azure.groups()
        api = next(cloud.api for cloud in _CLOUDS if cloud.inference == domain)
        origin = f"https://{region}.{api}"
    elif own is not None:
        endpoint, origin = own[1], f"{parts.scheme}://{parts.netloc}"
    else:
        return url
    path = f"/mferp/managementfrontend{workspace}/batchEndpoints/{endpoint}/jobs"
    return f"{origin}{path}?api-version={LIST_VERSION}"


def next_page(link: object, page: str) -> str | None:
    """Return the page that `link`, the `nextLink` of `page`, names; None when it is none, or at another origin (T17)."""
    if not isinstance(link, str) or not _LINK.fullmatch(link) or "\\" in link:
        return None
    try:
        joined = urljoin(page, link)
        there, here = urlsplit(joined), urlsplit(page)
    except ValueError:
        return None
    if (there.scheme, there.netloc) != (here.scheme, here.netloc):
        return None
    return joined.partition("#")[0]


def cancel(management: str, workspace: str, name: str) -> str:
    """Return where the end of the job `name` is asked for (protocols, 5.4)."""
    return f"{management}{workspace}/jobs/{name}/cancel?api-version={ARM_VERSION}"


def scope(url: str, *, own: str) -> str:
    """Return the scope of the token for `url`, an address of the management or of the list.

    Azure Resource Manager's, and Azure ML's API's, is the cloud's own: azure-ai-ml lists with the management token too.
    A stand-in on this machine gets the public cloud's; any other host only `own`, the endpoint's, since a token for
    Azure Resource Manager is for nobody else.
    """
    host = urlsplit(url).hostname or ""
    for cloud in _CLOUDS:
        if host == cloud.management or host.endswith(f".{cloud.api}"):
            return f"https://{cloud.management}/.default"
    return f"https://{_CLOUDS[0].management}/.default" if is_loopback(host) else own
