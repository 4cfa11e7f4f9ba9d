"""The policy file into a Policy: strict, every fault at once with its place (threat T22)."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Final

from shared.model import Policy
from shared.policy import build, meaning, reader, slips
from shared.policy.document import Document
from shared.ports import Fault

MAX_BYTES: Final = 16 * 1024 * 1024
"""Some 100,000 endpoints; a file beyond this is a mistake."""

_WHERE: Final = re.compile(r"(.*) \(at (.*)\)", re.DOTALL)


class PolicyFaults(Exception):
    """The policy cannot be used; `faults` are all of them."""

    def __init__(self, faults: tuple[Fault, ...]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults: Final = faults


def load_file(
    path: Path,
    *,
    allow_http: bool,
    shared_counters: bool = True,
    jobs: bool = True,
    jobs_secret: bool = True,
    place: str = "GROUPGATE_POLICY",
) -> Policy:
    """Return the policy in the file at `path` as `load` does; raise PolicyFaults, for an unreadable file with `place`."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as exc:  # ValueError: a path with a null character
        why = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        start = "; start from policy.sample.toml" if isinstance(exc, FileNotFoundError) else ""
        raise PolicyFaults((Fault(place=place, message=f"cannot read {path}: {why}{start}"),)) from exc
    return load(
        data, allow_http=allow_http, shared_counters=shared_counters, jobs=jobs, jobs_secret=jobs_secret
    )


def load(
    data: bytes,
    *,
    allow_http: bool,
    shared_counters: bool = True,
    jobs: bool = True,
    jobs_secret: bool = True,
) -> Policy:
    """Return the policy that `data` (a whole TOML file) writes; raise PolicyFaults.

    `allow_http` permits http:// to loopback hosts that `[hosts] allow` names. Without `shared_counters` (no
    GROUPGATE_REDIS_URL) limits must be for each instance, without `jobs` (GROUPGATE_JOBS=off) no endpoint may be a batch
    one, without `jobs_secret` (no GROUPGATE_JOBS_SECRET) nobody is told of a job's end; a policy that is looked at alone may
    have it all.
    """
    document, faults = reader.read(_parse(data), Document)
    faults += meaning.faults(
        document,
        {fault.place for fault in faults},
        allow_http=allow_http,
        shared_counters=shared_counters,
        jobs=jobs,
        jobs_secret=jobs_secret,
    )
    if faults:
        raise PolicyFaults(tuple(faults))
    return build.policy(document, digest=hashlib.sha256(data).hexdigest(), warnings=slips.warnings(document))


def _parse(data: bytes) -> dict[str, object]:
    if len(data) > MAX_BYTES:
        raise _unreadable(f"is larger than {MAX_BYTES // 1024**2} MiB")
    if data.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        raise _unreadable("begins with a byte order mark; save it as UTF-8 without one")
    try:
        return tomllib.loads(data.decode("utf-8"))
    except UnicodeDecodeError as exc:
        line = data.count(b"\n", 0, exc.start) + 1
        raise _unreadable(f"is not UTF-8 at line {line}; save it as UTF-8") from exc
    except tomllib.TOMLDecodeError as exc:
        found = _WHERE.fullmatch(str(exc))
        what, where = (found[1], found[2]) if found else (str(exc), "an unknown line")
        raise _unreadable(f"is not TOML at {where}: {what}") from exc
    except (
        ValueError,
        RecursionError,
    ) as exc:  # a number of thousands of digits; brackets nested by the thousand
        raise _unreadable("has a number that is too long, or lists or tables nested too deeply") from exc


def _unreadable(message: str) -> PolicyFaults:
    return PolicyFaults((Fault(place="policy", message=message),))
