"""Make docs/errors.md out of the tables in the code: `python -m tests.meta.errors_page` writes it."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from shared.audit.record import _ERRORS
from shared.model import Reason
from shared.problem import OF_REASON, TABLE, Problem, Slug, render
from tests.meta.errors_text import OUTCOMES, REASONS, SLUGS
from tests.meta.repository import ROOT

PAGE = ROOT / "docs" / "errors.md"
_ALSO = {
    **dict.fromkeys((Reason.OPERATION_NOT_ALLOWED, Reason.INPUT_NOT_ALLOWED), (Slug.NOT_FOUND,)),
    Reason.INVALID_REQUEST: (Slug.IDEMPOTENCY_CONFLICT,),
}
"""Slugs with which a reason is answered beside its own: models' `problem.NotFound`, a key of jobs that is taken."""

_INTRO = """\
# Errors

<!-- Made by `python -m tests.meta.errors_page` out of shared/problem.py and shared/model.py: edit those, or the
sentences in tests/meta/errors_text.py, and run it again. -->

Every answer of the gate that is not the model's own is `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

```json
{
  "type": "urn:groupgate:problem:forbidden",
  "title": "Not allowed",
  "status": 403,
  "detail": "You may not call this, or it does not exist.",
  "instance": "urn:uuid:3f0d9c1e-5a34-4a4e-9a0c-0d6d1f0f3c11"
}
```

Branch on the last part of `type`, the slug, never on the texts. `instance` holds the request id, which `X-Request-Id`
carries too and every audit record of the request names. Every answer has `Cache-Control: no-store` and
`Vary: Authorization, Cookie`. A model's own success passes through; its own JSON errors with status 400, 409, 413, 415,
422, 424 or 429 pass through with their body while `relay-errors` is on. Paths that the gate does not have, and App
Service Authentication's own 401 and 403, never reach it and look different.

Under `/openai/` and `/models/` the same document has one more member, which [clients of models](models.md#refusals)
read: `"error": {"code": SLUG, "message": DETAIL}`. What a client should not try again by itself, since somebody has to
mend something first or it would have to wait for more than half a minute, has `x-should-retry: false` there.
"""

_REASONS_INTRO = """\
## Reasons

What the audit record and `groupgate explain` say; a caller never reads it. `decision` is the audit record's field.

| reason | decision | meaning | the caller reads |
|---|---|---|---|
"""

_OUTCOMES_INTRO = """\
## Outcomes

What the second audit record of an allowed call says: how it ended.

| outcome | meaning |
|---|---|
"""


def page() -> str:
    """Return the text of docs/errors.md."""
    parts = [_INTRO, "\n".join(_summary()), *map(_section, TABLE)]
    parts.append(_REASONS_INTRO + "\n".join(map(_reason, Reason)) + "\n")
    parts.append(
        _OUTCOMES_INTRO + "\n".join(f"| `{name}` | {text} |" for name, text in OUTCOMES.items()) + "\n"
    )
    return "\n".join(parts)


def decision(reason: Reason) -> str:
    """Return what the audit record calls a decision for `reason`."""
    if reason not in OF_REASON:
        return "allow"
    return "error" if reason in _ERRORS else "deny"


def _summary() -> Iterator[str]:
    yield "## Slugs\n"
    yield "| status | slug | title |"
    yield "|---|---|---|"
    for slug, row in TABLE.items():
        yield f"| {row.status} | [`{slug}`](#{slug}) | {row.title} |"
    yield ""


def _section(slug: Slug) -> str:
    row, about = TABLE[slug], SLUGS[slug]
    headers = [f"`{name}: {value}`" for name, value in _always(slug)] + [*about.headers]
    lines = [
        f"### {slug}",
        "",
        f"**{row.status}** {row.title}. *{row.detail}*",
        "",
        f"- When: {about.when}",
        *([f"- Headers: {', '.join(headers)}"] if headers else []),
        f"- Caller: {about.caller}",
        f"- Owner: {about.owner}",
    ]
    return "\n".join(lines) + "\n"


def _always(slug: Slug) -> Iterator[tuple[str, str]]:
    """Yield the headers of every answer with `slug`, as the gate makes them."""
    for name, value in render(Problem(slug, Reason.INVALID_REQUEST), request_id="").headers:
        if name != "content-type":
            title = "WWW-Authenticate" if name == "www-authenticate" else name.title()
            yield title, "1 to 5" if slug is Slug.OVERLOADED else value


def _reason(reason: Reason) -> str:
    slug = OF_REASON.get(reason)
    slugs = [] if slug is None else [slug, *_ALSO.get(reason, ())]
    reads = " or ".join(f"[{TABLE[one].status} `{one}`](#{one})" for one in slugs) or "the model's answer"
    return f"| `{reason}` | {decision(reason)} | {REASONS[reason]} | {reads} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    sys.stdout.write(f"{PAGE.relative_to(ROOT)}\n")
