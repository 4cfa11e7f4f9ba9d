"""What may be asked about: ARM ids in full, and nothing that would climb elsewhere in an address."""

from __future__ import annotations

import pytest

from shared.bypass.azure import asked
from shared.bypass.collect import ids

GROUP = "/subscriptions/5c1d2e3f-0000-4000-8000-000000000001/resourceGroups/rg-ml"
WORKSPACE = f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/ws"
ONLINE = f"{WORKSPACE}/onlineEndpoints/fraud"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/gate"
STORE = f"{GROUP}/providers/Microsoft.Storage/storageAccounts/code"
PRINCIPAL = "6f1b2c3d-0000-4000-8000-000000000001"

NO_TARGETS = {
    "nothing": "",
    "a name": "fraud",
    "a subscription": "/subscriptions/5c1d2e3f-0000-4000-8000-000000000001",
    "a workspace": WORKSPACE,
    "a deployment": f"{ONLINE}/deployments/blue",
    "an endpoint without a name": f"{WORKSPACE}/onlineEndpoints/",
    "a site": SITE,
    "a query behind it": f"{ONLINE}?x=1",
    "a fragment behind it": f"{ONLINE}#x",
    "something encoded": f"{ONLINE}%2f..",
    "a climb": f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces/../onlineEndpoints/fraud",
    "a dot": f"{WORKSPACE}/onlineEndpoints/.",
    "an empty part": f"{GROUP}/providers/Microsoft.MachineLearningServices/workspaces//onlineEndpoints/fraud",
    "another host in front": f"https://management.azure.com{ONLINE}",
    "a line end": f"{ONLINE}\n/x",
}


@pytest.mark.parametrize("text", NO_TARGETS.values(), ids=NO_TARGETS)
def test_a_target_is_an_endpoint_or_an_account_in_full(text: str) -> None:
    """Anything else is a fault of whoever asks, told before anything is read."""
    with pytest.raises(ValueError, match="the target must be the ARM id"):
        asked(text)


TARGETS = {
    "an online endpoint": (ONLINE, "online", WORKSPACE),
    "a batch endpoint": (f"{WORKSPACE}/batchEndpoints/nightly", "batch", WORKSPACE),
    "an account": (
        f"{GROUP}/providers/Microsoft.CognitiveServices/accounts/ai",
        "account",
        f"{GROUP}/providers/Microsoft.CognitiveServices/accounts/ai",
    ),
    "letters in another case": (ONLINE.upper(), "online", WORKSPACE.upper()),
}


@pytest.mark.parametrize(("text", "kind", "parent"), TARGETS.values(), ids=TARGETS)
def test_a_target_knows_what_it_lies_in(text: str, kind: str, parent: str) -> None:
    """Blanks around it and a slash behind it are what copying leaves."""
    found = asked(f" {text}/ ").target
    assert (found.id, found.kind, found.parent) == (text, kind, parent)
    assert found.group.lower() == GROUP.lower()
    assert found.subscription.lower() == GROUP.rpartition("/resourceGroups")[0].lower()


def test_a_resource_group_may_have_letters_of_any_script() -> None:
    """And dots, parentheses and underscores, as Azure lets it."""
    odd = ONLINE.replace("rg-ml", "Größe_(1).x")
    assert asked(odd).target.group.endswith("/Größe_(1).x")


WRONG = {
    "a gate that is a name": ({"gate": "gate"}, "the gate must be"),
    "a gate that is another resource": ({"gate": STORE}, "the gate must be"),
    "a gate with a function behind it": ({"gate": f"{SITE}/functions/score"}, "the gate must be"),
    "an identity that is a name": ({"gate": SITE, "identity": "gate"}, "identity must be an object id"),
    "an identity twice": ({"gate": PRINCIPAL, "identity": PRINCIPAL}, "named twice"),
    "storage that is an address": (
        {"gate": SITE, "storage": ["https://code.blob.core.windows.net"]},
        "storage must be",
    ),
}


@pytest.mark.parametrize(("words", "why"), WRONG.values(), ids=WRONG)
def test_a_word_that_means_nothing_is_told(words: dict[str, object], why: str) -> None:
    """Nothing is guessed: a gate that was named wrongly would be left out unseen."""
    with pytest.raises(ValueError, match=why):
        asked(ONLINE, **words)  # type: ignore[arg-type]  # a table of wrong words


def test_a_gate_is_named_by_its_site_or_by_its_identity() -> None:
    """And both, where a site has several identities."""
    assert asked(ONLINE).site is asked(ONLINE).principal is None
    by_site = asked(ONLINE, gate=f"{SITE}/", identity=PRINCIPAL.upper(), storage=[STORE])
    assert by_site.site is not None
    assert (by_site.site.id, by_site.principal) == (SITE, PRINCIPAL)
    assert [place.id for place in by_site.storage] == [STORE]
    assert asked(ONLINE, gate=PRINCIPAL.upper()).principal == PRINCIPAL


def test_a_slot_knows_its_site() -> None:
    """Whoever holds a role on the site holds it on the slot."""
    slot = ids.site(f"{SITE}/slots/next")
    assert slot is not None
    assert ids.whole_site(slot) == SITE
    whole = ids.site(SITE)
    assert whole is not None
    assert ids.whole_site(whole) == SITE


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("/providers/Microsoft.Authorization/roleDefinitions/x", True),
        (SITE, True),
        ("/", False),
        ("providers/x", False),
        ("/providers/..", False),
        ("/providers/../x", False),
        ("/providers/x?y", False),
        ("/providers//x", False),
        ("//azure.example/x", False),
        ("/providers/x\n", False),
    ],
)
def test_an_id_of_an_answer_stands_in_an_address_only_when_it_is_plain(text: str, plain: bool) -> None:
    """What Azure calls a role goes into the next address."""
    assert ids.is_plain(text) is plain
