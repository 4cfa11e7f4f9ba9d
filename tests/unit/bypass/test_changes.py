"""Changes as commands: what is printed is read back as what was meant, and nothing else is."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.bypass import changes
from shared.bypass.changes import (
    DENIES,
    REQUESTS,
    Assign,
    Change,
    CreateRole,
    DeleteAssignment,
    DeleteFederated,
    EndEligibility,
    PutDeny,
    RemoveMember,
    RemoveOwner,
    SetProperty,
    command,
    is_plain,
)
from shared.bypass.readback import NotACommand, parse

words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(
    lambda text: text.isprintable() and not text.startswith(("-", "@"))
)
names = st.text(st.sampled_from("abcAz09._-"), min_size=1).filter(lambda text: not text.startswith("-"))
scopes = st.lists(names, max_size=4).map(lambda parts: "/" + "/".join(parts))
documents = st.dictionaries(st.text(), st.one_of(st.text(), st.booleans(), st.lists(st.text())))
CHANGES = st.one_of(
    st.builds(DeleteAssignment, words),
    st.builds(EndEligibility, scopes, words, words),
    st.builds(RemoveMember, words, words),
    st.builds(RemoveOwner, words, words),
    st.builds(SetProperty, words, words, names, names),
    st.builds(CreateRole, documents.map(changes.text)),
    st.builds(Assign, words, words, words, words),
    st.builds(PutDeny, scopes.filter(lambda scope: scope != "/"), documents.map(changes.text)),
)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rm -rf /",
        "az",
        "az login",
        "az role assignment delete",
        "az role assignment delete --ids a0 --include-inherited",
        "az role assignment delete --ids a0; az logout",
        "az role assignment delete --ids 'a0",
        "az role assignment create --assignee-object-id a",
        "az resource update --ids a0 --api-version 1",
        "az resource update --ids a0 --api-version 1 --set tags.a=b",
        "az rest --method delete --url /subscriptions/1",
        "az rest --method put --url /subscriptions/1 --body []",
        "az rest --method put --url /subscriptions/1 --body '{\"properties\":{}}'",
        "az identity federated-credential delete --name ci --yes",
    ],
)
def test_other_commands_are_not_understood(text: str) -> None:
    """Whatever does more than is understood, or something else, is refused."""
    with pytest.raises(NotACommand):
        parse(text)


@pytest.mark.parametrize("change", changes.EXAMPLES, ids=lambda change: type(change).__name__)
def test_each_kind_of_change_is_read_back(change: Change) -> None:
    """One example of each: those that are checked against the real `az`."""
    assert parse(command(change)) == change
    assert is_plain(change)


def test_there_is_an_example_of_each_kind() -> None:
    """A kind that is added without one would be checked by nobody."""
    assert {type(change) for change in changes.EXAMPLES} == set(Change.__args__)


@given(CHANGES)
def test_what_is_printed_is_read_back(change: Change) -> None:
    """Whatever people call things: quotes, stars, semicolons and blanks included."""
    assert parse(command(change)) == change


@given(CHANGES)
def test_a_shell_takes_it_for_one_command(change: Change) -> None:
    """What others chose for a name starts nothing."""
    assert shlex.split(command(change), comments=True, posix=True)[1:] == list(change.words())


@pytest.mark.parametrize("text", ["-x", "--yes", "@/etc/passwd", "a\nb", "a\x1b[2J", "a\u202eb"])
def test_what_az_or_a_terminal_would_take_for_something_else_is_not_plain(text: str) -> None:
    """Such a value is not printed as part of a command."""
    assert not is_plain(DeleteAssignment(text))
    assert not is_plain(RemoveMember("g", text))


AT = "/subscriptions/S/resourceGroups/rg"
RBAC = "providers/Microsoft.Authorization"
ROLE = f"/{RBAC}/roleDefinitions/r"
CREDENTIAL = (
    f"{AT}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/i/federatedIdentityCredentials/c"
)


@pytest.mark.parametrize(
    "change",
    [
        DeleteAssignment(AT),
        DeleteAssignment(f"{AT}?api-version=2021-04-01&x=/{RBAC}/roleAssignments/a"),
        DeleteAssignment(f"{AT}/{RBAC}/roleAssignments/a?x=1"),
        DeleteAssignment(f"{AT}/{RBAC}/roleAssignments/a%2F.."),
        DeleteAssignment(f"{AT}/{RBAC}/roleAssignments/a b"),
        DeleteAssignment(f"{AT}/{RBAC}/roleAssignments/a/../b"),
        DeleteAssignment(f"{AT}/{RBAC}/roleAssignments"),
        DeleteAssignment(f"/else/{RBAC}/roleAssignments/a"),
        EndEligibility(f"{AT}?x=1", "p", ROLE),
        EndEligibility(f"{AT}/../x", "p", ROLE),
        EndEligibility("", "p", ROLE),
        EndEligibility(AT, "p q", ROLE),
        EndEligibility(AT, "p", "Owner"),
        RemoveMember("Domain Admins", "m"),
        RemoveOwner("g", "o/../../x"),
        SetProperty(AT, "2025-09-01", "a", "b"),
        SetProperty(f"{AT}/providers/M.X/t/n?x", "2025-09-01", "a", "b"),
        SetProperty(f"{AT}/providers/M.X/t/n", "2025-09-01", "a=b", "c"),
        Assign("p", "User", "role", "NARROWER-SCOPE"),
        DeleteFederated(f"{CREDENTIAL}//"),
        DeleteFederated(CREDENTIAL.rpartition("/")[0]),
        DeleteFederated(CREDENTIAL.removeprefix(AT)),
        PutDeny(f"{AT}#x", "{}"),
    ],
)
def test_an_id_of_another_shape_is_in_no_command(change: Change) -> None:
    """E08: what `az` sends goes to the id as it is written, whatever that is the id of."""
    assert not is_plain(change)


@pytest.mark.parametrize(
    "scope", ["/", AT, f"{AT}/", AT.lower(), "/providers/Microsoft.Management/managementGroups/m"]
)
@pytest.mark.parametrize("name", ["$web", "rg_(old)", "réserve"])
def test_ids_as_azure_writes_them_are_plain(scope: str, name: str) -> None:
    """Names of containers and groups have more in them than letters."""
    below = scope if scope == "/" else f"{scope.rstrip('/')}/{name}"
    assert is_plain(EndEligibility(scope, "p", f"{below.rstrip('/')}{ROLE}"))
    assert is_plain(DeleteAssignment(f"{below.rstrip('/')}/{RBAC}/roleAssignments/a"))


@given(CHANGES | st.builds(EndEligibility, scopes.map(lambda scope: f"{AT}{scope}/"), names, st.just(ROLE)))
def test_whatever_is_plain_is_understood(change: Change) -> None:
    """E08: nothing that a report prints fails when it is read again."""
    if is_plain(change):
        assert command(parse(command(change))) == command(change)


@pytest.mark.parametrize("at", [REQUESTS, DENIES])
def test_a_scope_within_a_request_is_read_back(at: str) -> None:
    """E08: only the last part of an address is the request."""
    for change in (EndEligibility(f"{AT}{at}x", "p", ROLE), PutDeny(f"{AT}{at}x", "{}")):
        assert parse(command(change)) == change
