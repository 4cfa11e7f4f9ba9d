"""Who claims say is calling: the tenant, the issuer, the object, the kind, the client, the groups."""

from __future__ import annotations

import pytest

from shared.identity.claims import SPELLINGS, Claims, principal_of
from shared.identity.issuers import public_issuers
from shared.model import Kind, Principal, Reason
from shared.problem import Unauthenticated
from tests.unit.identity.fakes_principal import (
    CLIENT,
    FOREIGN_TENANT,
    GROUP,
    ISSUER_1,
    ISSUER_2,
    LONG,
    NOW,
    OID,
    OTHER_GROUP,
    OTHER_OID,
    PERSONAL_TENANT,
    SUB,
    TENANT,
    Pairs,
    app,
    lengthened,
    user,
)


def judged(pairs: Pairs, *, tenant: str = TENANT) -> Principal | Reason:
    """Return the principal, or the reason why there is none."""
    try:
        return principal_of(Claims.of(pairs), tenant=tenant, issuers=public_issuers(tenant))
    except Unauthenticated as refused:
        return refused.reason


def principal(pairs: Pairs) -> Principal:
    found = judged(pairs)
    assert isinstance(found, Principal)
    return found


def forms(tenant: str) -> tuple[str, str]:
    return f"https://sts.windows.net/{tenant}/", f"https://login.microsoftonline.com/{tenant}/v2.0"


MALFORMED = Reason.PRINCIPAL_MALFORMED


@pytest.mark.parametrize(
    ("tid", "reason"),
    [
        (None, Reason.TENANT_MISMATCH),
        ("", Reason.TENANT_MISMATCH),
        (FOREIGN_TENANT, Reason.TENANT_MISMATCH),
        (PERSONAL_TENANT, Reason.TENANT_MISMATCH),
        ("common", Reason.TENANT_MISMATCH),
        (f"{{{TENANT}}}", Reason.TENANT_MISMATCH),
        (f"{TENANT}\n", Reason.TENANT_MISMATCH),
    ],
)
@pytest.mark.parametrize(
    "issuer", [ISSUER_1, ISSUER_2, *forms(FOREIGN_TENANT), *forms(PERSONAL_TENANT), None]
)
def test_only_the_own_tenant_is_known(tid: str | None, reason: Reason, issuer: str | None) -> None:
    """S06: a foreign, personal, missing or malformed tenant is refused, whoever issued the token."""
    assert judged(user(tid=tid, iss=issuer)) is reason


@pytest.mark.parametrize(
    "issuer",
    [
        *forms(FOREIGN_TENANT),
        *forms(PERSONAL_TENANT),
        "https://login.microsoftonline.com/common/v2.0",
        "https://login.microsoftonline.us/" + TENANT + "/v2.0",
        ISSUER_1.rstrip("/"),
        ISSUER_2 + "/",
        ISSUER_2.upper(),
        f" {ISSUER_2}",
        f"https://evil.example/{ISSUER_2}",
        ISSUER_2 + ".evil.example",
        "",
    ],
)
def test_an_issuer_that_is_named_must_be_the_tenants_own(issuer: str) -> None:
    """S06: compared exactly, never by prefix, suffix or substring."""
    assert judged(user(iss=issuer)) is Reason.ISSUER_MISMATCH


@pytest.mark.parametrize("issuer", [ISSUER_1, ISSUER_2, None])
def test_the_tenants_issuers_and_none_are_accepted(issuer: str | None) -> None:
    """S06: both forms of the own tenant; where the platform gives no issuer there is nothing to compare."""
    assert principal(user(iss=issuer)).tenant == TENANT


def test_the_personal_tenant_is_accepted_only_as_the_configured_one() -> None:
    """S06: personal accounts are a tenant like any other."""
    pairs = user(tid=PERSONAL_TENANT, iss=None)
    assert judged(pairs) is Reason.TENANT_MISMATCH
    assert isinstance(judged(pairs, tenant=PERSONAL_TENANT), Principal)


_EVIL = {
    "oid": OTHER_OID,
    "tid": FOREIGN_TENANT,
    "iss": forms(FOREIGN_TENANT)[1],
    "idp": "live.com",
    "idtyp": "app",
    "appid": GROUP,
    "azp": GROUP,
    "sub": OID,
    "acct": "1",
    "iat": str(NOW + 60),
    "ver": "1.0",
    "aud": "other",
    "exp": "1",
    "nbf": "1",
}
_GOOD = {"idp": ISSUER_2, "idtyp": "user", "appid": CLIENT, "acct": "0", "exp": str(NOW), "nbf": str(NOW)}


@pytest.mark.parametrize("name", _EVIL)
@pytest.mark.parametrize("evil_first", [True, False], ids=["evil first", "evil last"])
@pytest.mark.parametrize("spelling", ["short", "long", "mixed"])
def test_a_single_valued_claim_has_one_value_over_all_spellings(
    name: str, evil_first: bool, spelling: str
) -> None:
    """S07: a second, different value is refused, in either order and in either spelling."""
    good = dict(user()).get(name) or _GOOD[name]
    long = LONG.get(name, name)
    names = {"short": (name, name), "long": (long, long), "mixed": (name, long)}[spelling]
    twice = [(names[0], good), (names[1], _EVIL[name])]
    pairs = user(**{name: None})
    assert judged([*twice[::-1], *pairs] if evil_first else [*pairs, *twice]) is MALFORMED


def test_the_same_value_twice_is_one_value() -> None:
    """S07: two spellings of one value contradict nothing."""
    assert principal(user() + lengthened(user())) == principal(user())


@pytest.mark.parametrize(
    "oid", [None, "", "ada@example.org", f"{{{OID}}}", f"urn:uuid:{OID}", OID.replace("-", "")]
)
def test_the_object_id_is_there_and_canonical(oid: str | None) -> None:
    """S12: no other spelling of an object id names anybody."""
    assert judged(user(oid=oid)) is MALFORMED


def test_ids_compare_in_lower_case() -> None:
    """S12: upper case is the same id."""
    upper = user(oid=OID.upper(), tid=TENANT.upper(), azp=CLIENT.upper(), groups=GROUP.upper())
    assert principal(upper) == principal(user())


@pytest.mark.parametrize("pairs", [user(), app()], ids=["user", "app"])
def test_both_spellings_make_the_same_principal(pairs: Pairs) -> None:
    """Protocols 1.3: the token store changes names, and nothing else."""
    assert principal(pairs) == principal(lengthened(pairs))


_WRONG_TYPES = [
    "wids",
    "GROUPS",
    "Groups",
    "group",
    "groupsid",
    "groups\x00",
    "groups\u200b",
    "http://evil/groups",
    "role_typ",
    "http://schemas.xmlsoap.org/claims/Group",
    "urn:groups",
    "name",
    "upn",
    "email",
    "preferred_username",
    "unique_name",
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/groupsid",
    "xhttp://evil/claims/groups",
    "roles",
    "role",
    "http://schemas.microsoft.com/ws/2008/06/identity/claims/role",
    "groups:src1",
    "_claim_names",
    "hasgroups",
    "scp",
    "sub",
]


@pytest.mark.parametrize("typ", sorted({*_WRONG_TYPES, "groups ", " groups"}))
def test_a_group_id_under_another_type_is_no_group(typ: str) -> None:
    """S10: types are compared exactly, never by suffix or without regard to case."""
    pairs = [*user(groups=None, sub=None), (typ, OTHER_GROUP)]
    assert principal(pairs).groups == frozenset()


@pytest.mark.parametrize(
    "value", ["Fraud Analysts", f"{{{GROUP}}}", GROUP + "\n", "S-1-5-21-1-2-3-512", "", "fraud-analysts"]
)
def test_a_value_that_is_no_id_is_no_group(value: str) -> None:
    """S11: a group named like something is not that thing."""
    assert principal([*user(), ("groups", value)]).groups == {GROUP}


def test_groups_repeat() -> None:
    """Protocols 1.2: a claim with many values is a run of entries."""
    assert principal([*user(), ("groups", OTHER_GROUP), ("groups", GROUP)]).groups == {GROUP, OTHER_GROUP}


@pytest.mark.parametrize("name", ["roles", "role", LONG["roles"]])
def test_app_roles_come_under_three_names(name: str) -> None:
    """Protocols 1.3: and a role is never a group."""
    found = principal([*user(), (name, "Score.All"), ("wids", "Admin"), (name, "")])
    assert found.app_roles == {"Score.All"}
    assert found.groups == {GROUP}


@pytest.mark.parametrize("name", ["email", "preferred_username", "upn", "unique_name", "name"])
def test_names_that_can_change_do_not_count(name: str) -> None:
    """S13: the same object with another address is the same caller; another object with the same is another."""
    assert principal([*user(), (name, "eve@example.org")]) == principal(user())
    assert principal([*user(oid=OTHER_OID), (name, "ada@example.org")]).oid == OTHER_OID
    assert name not in SPELLINGS


KINDS = {
    "idtyp app is an app": (app(), Kind.APP),
    "idtyp app decides against scp": (app(scp="score"), Kind.APP),
    "idtyp user is a user": (user(idtyp="user", sub=OID), Kind.USER),
    "scp means a user": (user(scp="score", sub=OID), Kind.USER),
    "an empty scp means nothing": (user(scp="", sub=OID), Kind.APP),
    "sub equal to oid is an app": (app(idtyp=None), Kind.APP),
    "sub equal to oid in upper case is an app": (app(idtyp=None, sub=OID.upper()), Kind.APP),
    "sub different from oid is a user": (user(), Kind.USER),
    "roles alone do not make an app": (user(roles="Score.All"), Kind.USER),
    "roles alone decide nothing": (user(roles="Score.All", sub=None), Kind.UNDECIDED),
    "an appid does not make an app": (user(appid=CLIENT, azp=None), Kind.USER),
    "no evidence is undecided": (user(sub=None), Kind.UNDECIDED),
    "an idp that is the issuer is a member": (user(idp=ISSUER_2), Kind.USER),
    "an idp that differs is a guest": (user(idp=forms(FOREIGN_TENANT)[0]), Kind.GUEST),
    "a personal account is a guest": (user(idp="live.com"), Kind.GUEST),
    "an idp without an issuer is a guest": (user(idp=ISSUER_2, iss=None), Kind.GUEST),
    "acct 1 is a guest": (user(acct="1"), Kind.GUEST),
    "acct 0 is a member": (user(acct="0"), Kind.USER),
    "acct 0 does not hide a foreign idp": (user(acct="0", idp="live.com"), Kind.GUEST),
    "an app has no home to be a guest from": (app(idp=forms(TENANT)[1]), Kind.APP),
}


@pytest.mark.parametrize(("pairs", "kind"), KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("spell", [lambda pairs: pairs, lengthened], ids=["short", "long"])
def test_the_kind_of_caller(pairs: Pairs, kind: Kind, spell: object) -> None:
    """S15, S16: the ruling "Kind", word for word."""
    assert callable(spell)
    assert principal(spell(pairs)).kind is kind


@pytest.mark.parametrize(
    "claim", [{"idtyp": "APP"}, {"idtyp": "device"}, {"idtyp": ""}, {"acct": "2"}, {"acct": "guest"}]
)
def test_a_kind_that_nobody_documents_is_refused(claim: dict[str, str]) -> None:
    """S16: not guessed at."""
    assert judged(user(**claim)) is MALFORMED


@pytest.mark.parametrize("name", ["azp", "appid"])
def test_the_client_comes_from_either_version(name: str) -> None:
    """S17: rules that name clients see `azp` and `appid` alike."""
    assert principal([*user(azp=None), (name, CLIENT.upper())]).client == CLIENT
    assert principal(user(azp=None)).client is None


def test_two_clients_are_none() -> None:
    """S17, S07: `azp` and `appid` that differ are refused, and so is a client that is no id."""
    assert judged(user(appid=OTHER_OID)) is MALFORMED
    assert judged(user(azp="my-client")) is MALFORMED
    assert principal(user(appid=CLIENT)).client == CLIENT


@pytest.mark.parametrize(
    "iat", ["", "yesterday", "-1", "1.5", "1e9", " 1", "1\n", "\u0661", "9" * 12, "0x10"]
)
def test_a_time_that_is_none_is_refused(iat: str) -> None:
    """S09: `iat` is whole seconds, in plain digits."""
    assert judged(user(iat=iat)) is MALFORMED


def test_without_iat_there_is_no_age() -> None:
    """A claim of unknown age proves nothing later, but it is no fault."""
    assert principal(user(iat=None)).issued_at is None
    assert principal(user()).issued_at == NOW - 60


@pytest.mark.parametrize("marker", ["hasgroups", "_claim_names", "_claim_sources", "groups:src1"])
def test_overage_is_told_and_claims_nothing(marker: str) -> None:
    """Protocols 1.2 B: each marker is seen, changes no group, and its address is never read."""
    pairs = [*user(groups=None), (marker, '{"groups":"src1"}')]
    assert Claims.of(pairs).overage
    assert not Claims.of(user()).overage
    assert principal(pairs).groups == frozenset()


@pytest.mark.parametrize(
    "payload",
    [
        {"oid": [OID]},
        {"tid": [TENANT]},
        {"iat": str(NOW)},
        {"iat": True},
        {"iat": 1.5},
        {"groups": [GROUP, 1]},
        {"groups": {"0": GROUP}},
        {"roles": [None]},
        {"sub": 1},
        {"acct": True},
        {"idtyp": ["app"]},
    ],
)
def test_a_tokens_claims_have_their_types(payload: dict[str, object]) -> None:
    """S21: what names the caller is a string, times are whole numbers, lists are lists of strings."""
    with pytest.raises(Unauthenticated):
        Claims.of_token(payload)


def test_a_tokens_claims_make_the_same_principal() -> None:
    """The token and the header that the platform makes of it name one caller."""
    payload = {
        **dict(user()),
        "iat": NOW - 60,
        "groups": [GROUP, OTHER_GROUP],
        "acct": 0,
        "hasgroups": False,
        "_claim_names": {"groups": "src1"},
        LONG["oid"]: OTHER_OID,
        "email": 7,
    }
    claims = Claims.of_token(payload)
    found = principal_of(claims, tenant=TENANT, issuers=public_issuers(TENANT), issuer_required=True)
    assert found == principal([*user(acct="0"), ("groups", OTHER_GROUP)])
    assert claims.overage
    assert found.kind is Kind.USER
    assert claims.one("sub") == SUB


def test_a_token_must_name_its_issuer() -> None:
    """S06: where a signature is checked, an absent issuer is a wrong one."""
    with pytest.raises(Unauthenticated) as refused:
        principal_of(
            Claims.of(user(iss=None)), tenant=TENANT, issuers=public_issuers(TENANT), issuer_required=True
        )
    assert refused.value.reason is Reason.ISSUER_MISMATCH
