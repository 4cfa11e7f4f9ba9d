"""The settings: every one good, bad and in Azure; all faults at once; nothing raises."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.loopback import is_loopback, is_loopback_url
from shared.settings import ROOT, Settings, base_url_fault

TENANT = "6f1b2c3d-0000-4000-8000-00000000000a"
GOOD = {"GROUPGATE_TENANT_ID": TENANT}
AZURE = ["WEBSITE_INSTANCE_ID", "WEBSITE_SITE_NAME", "WEBSITE_POD_NAME", "CONTAINER_APP_NAME"]


def read(**env: str) -> Settings:
    return Settings.from_env({**GOOD, **env})


def places(found: Settings) -> list[str]:
    return [fault.place for fault in found.faults]


BAD = [
    ("GROUPGATE_TENANT_ID", ["", " ", "contoso.com", "common", "{" + TENANT + "}", "urn:uuid:" + TENANT, TENANT.replace("-", ""), "\uff16" + TENANT[1:]]),
    ("GROUPGATE_IDENTITY", ["none", "EasyAuth", "easyauth,token", "off"]),
    ("GROUPGATE_AUTHORITY", ["login.microsoftonline.com", "ftp://x", "https://", "https://a@b", "https://x?y=z", "https://x#y", "https://x y", "https://h\u00f6st", "https://[::1", "https://x:99999"]),
    ("GROUPGATE_GRAPH_URL", ["graph.microsoft.com", "http://graph.microsoft.com", "https://u:p@graph.microsoft.com", "https://x\\y", "https://x?", "https://x#"]),
    ("GROUPGATE_CREDENTIAL", ["default", "key", "Managed-Identity"]),
    ("GROUPGATE_HTTP", ["streaming", "fastapi", "CLASSIC"]),
    ("GROUPGATE_AUDIT", ["none", "off", "file:", "file", "/tmp/x", "blob:https://x", "LOG"]),
    ("GROUPGATE_ALLOW_HTTP", ["1", "yes", "on", "tru"]),
    ("AZURE_CLIENT_ID", ["me", "gate-identity", TENANT + "0"]),
    ("GROUPGATE_JOBS", ["true", "yes", "maybe"]),
    ("GROUPGATE_JOBS_SECRET", ["short", "x" * 31, "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/jobs/)", "@microsoft.keyvault(VaultName=contoso;SecretName=jobs)", "x" * 32 + "\n" + "x", "x" * 32 + "\x00", "x" * 32 + "\x85x", "x" * 32 + "\udcff", "-" * 31 + " " * 9]),
    ("GROUPGATE_REDIS_URL", ["redis://localhost", "redis://cache.example", "cache.example:6380", "https://cache.example", "rediss://", "rediss://:6380", "rediss://me@cache.example", "rediss://cache.example/x", "rediss://cache.example/0/1", "rediss://cache.example/1000", "rediss://cache.example?db=1", "rediss://cache.example#1", "rediss://cache.example:99999", "rediss://cache.example:x", "rediss://[::1", "rediss://c\u00e4che.example", "rediss://cache .example/0", "rediss://cache.example\\x", "REDISS"]),
    ("GROUPGATE_POLICY", ["https://contoso.blob.core.windows.net/p/policy.toml"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD for value in values])
def test_t22_a_bad_value_is_a_fault_with_the_settings_name(name: str, value: str) -> None:
    """T22: whatever is not understood is a fault at its place, and nothing is guessed in its stead."""
    assert places(read(**{name: value})) == [name]


def test_all_faults_are_told_at_once() -> None:
    """Every setting that is wrong has its own fault in one reading."""
    found = Settings.from_env({name: values[-1] for name, values in BAD})
    assert sorted(places(found)) == sorted(name for name, _ in BAD)
    assert all(str(fault).startswith(f"{fault.place}: ") for fault in found.faults)


def test_no_fault_repeats_a_value() -> None:
    """R03: a value that was meant for another setting, perhaps a secret, is not written into a fault."""
    env = {name: "Secret-Marker" for name, _ in BAD if name != "GROUPGATE_POLICY"}
    found = Settings.from_env(env)
    assert found.faults
    assert not any("Secret-Marker" in str(fault) for fault in found.faults)


def test_without_a_tenant_nothing_can_be_known() -> None:
    """The tenant is required: it has no default and no wildcard."""
    found = Settings.from_env({})
    assert places(found) == ["GROUPGATE_TENANT_ID"]
    assert found.tenant_id == ""


@pytest.mark.parametrize("mode", ["token", "both"])
@pytest.mark.parametrize("audience", ["", " ", ",", " , ,"])
def test_s21_verifying_tokens_without_an_audience_is_a_fault(mode: str, audience: str) -> None:
    """S21, ruling "Easy Auth": `token` and `both` need GROUPGATE_AUDIENCE; blank items are no audience."""
    assert places(read(GROUPGATE_IDENTITY=mode, GROUPGATE_AUDIENCE=audience)) == ["GROUPGATE_AUDIENCE"]


@pytest.mark.parametrize(
    ("name", "value", "marker"),
    [(*pair, marker) for pair, marker in product([("GROUPGATE_CREDENTIAL", "developer"), ("GROUPGATE_ALLOW_HTTP", "true"), ("GROUPGATE_AUDIT", "file:audit.log")], AZURE)],
)  # fmt: skip
def test_s18_what_is_for_a_laptop_is_a_fault_in_azure(name: str, value: str, marker: str) -> None:
    """S18: developer credentials, plain http and a local audit file are refused under any sign of Azure."""
    assert places(read(**{name: value})) == []
    assert places(read(**{name: value, marker: "x"})) == [name]


@pytest.mark.parametrize("bits", list(product([False, True], repeat=6)))
def test_s18_the_developers_identity_works_in_the_one_legal_place_only(bits: tuple[bool, ...]) -> None:
    """S18: 2^6 environments; developer credentials are without fault only where no sign of Azure is set."""
    *azure, developer, http = bits
    env = {name: "x" for name, on in zip(AZURE, azure, strict=True) if on}
    if developer:
        env["GROUPGATE_CREDENTIAL"] = "developer"
    if http:
        env["GROUPGATE_ALLOW_HTTP"] = "true"
    wrong = [
        n
        for n, on in (("GROUPGATE_ALLOW_HTTP", http), ("GROUPGATE_CREDENTIAL", developer))
        if on and any(azure)
    ]
    assert places(read(**env)) == wrong


@pytest.mark.parametrize("value", ["", "  "])
def test_an_empty_value_is_an_unset_one(value: str) -> None:
    """An empty setting means its default, exactly as if it were not there."""
    names = [name for name, _ in BAD if name != "GROUPGATE_TENANT_ID"] + [
        "GROUPGATE_AUDIENCE",
        "WEBSITE_AUTH_ENABLED",
        *AZURE,
    ]
    unset, empty = read(), read(**dict.fromkeys(names, value))
    fields = [f for f in Settings.__dataclass_fields__ if f != "platform_auth_enabled"]
    assert {f: getattr(empty, f) for f in fields} == {f: getattr(unset, f) for f in fields}
    assert empty.platform_auth_enabled() is False


def test_the_defaults_are_the_contracts() -> None:
    """Each default stands in the design's table of settings."""
    found = read()
    assert found.faults == ()
    assert (found.identity, found.credential, found.http, found.audit) == (
        "easyauth",
        "managed-identity",
        "classic",
        "log",
    )
    assert (found.authority, found.graph_url) == (
        "https://login.microsoftonline.com",
        "https://graph.microsoft.com",
    )
    assert (found.allow_http, found.client_id, found.audiences, found.instance) == (
        False,
        None,
        frozenset(),
        "local",
    )
    assert found.policy_path == ROOT / "policy.toml"
    assert found.redis_url is None
    assert (found.jobs, found.jobs_secret) == (False, None)


@pytest.mark.parametrize(
    ("name", "value", "field", "meaning"),
    [
        ("GROUPGATE_TENANT_ID", TENANT.upper(), "tenant_id", TENANT),
        ("GROUPGATE_IDENTITY", "easyauth", "identity", "easyauth"),
        (
            "GROUPGATE_AUTHORITY",
            "https://login.microsoftonline.us/",
            "authority",
            "https://login.microsoftonline.us",
        ),
        ("GROUPGATE_GRAPH_URL", "https://graph.microsoft.us", "graph_url", "https://graph.microsoft.us"),
        ("GROUPGATE_CREDENTIAL", "developer", "credential", "developer"),
        ("GROUPGATE_HTTP", "stream", "http", "stream"),
        ("GROUPGATE_AUDIT", "file:/var/log/gate.jsonl", "audit", "file:/var/log/gate.jsonl"),
        ("GROUPGATE_ALLOW_HTTP", "TRUE", "allow_http", True),
        ("GROUPGATE_ALLOW_HTTP", "false", "allow_http", False),
        ("GROUPGATE_JOBS", "off", "jobs", False),
        ("GROUPGATE_JOBS", "on", "jobs", True),
        ("GROUPGATE_JOBS", "ON", "jobs", True),
        ("GROUPGATE_JOBS_SECRET", "s" * 32, "jobs_secret", "s" * 32),
        (
            "GROUPGATE_JOBS_SECRET",
            "correct horse battery staple, and more",
            "jobs_secret",
            "correct horse battery staple, and more",
        ),
        ("GROUPGATE_AUDIENCE", "api://gate, 1234 ,", "audiences", frozenset({"api://gate", "1234"})),
        ("AZURE_CLIENT_ID", TENANT.upper(), "client_id", TENANT),
        ("GROUPGATE_POLICY", "/etc/groupgate/policy.toml", "policy_path", Path("/etc/groupgate/policy.toml")),
        ("GROUPGATE_POLICY", "conf/policy.toml", "policy_path", ROOT / "conf/policy.toml"),
        *(
            ("GROUPGATE_REDIS_URL", url, "redis_url", url)
            for url in (
                "rediss://cache.example",
                "rediss://cache.example:6380/0",
                "rediss://:word@cache.example:6380/15",
                "rediss://me:word@cache.example",
            )
        ),
        ("WEBSITE_INSTANCE_ID", "abc", "instance", "abc"),
        ("CONTAINER_APP_NAME", "app", "instance", "app"),
    ],
)
def test_a_good_value_means_what_it_says(name: str, value: str, field: str, meaning: Any) -> None:
    """Each setting's good values, in the form in which the rest of the app has them."""
    found = read(**{name: value})
    assert found.faults == ()
    assert getattr(found, field) == meaning


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]"])
def test_t01_redis_without_tls_is_for_this_machine_and_needs_the_setting(host: str) -> None:
    """T01: plain `redis://` is for loopback, where GROUPGATE_ALLOW_HTTP permits it; `rediss://` is for everywhere."""
    url = f"redis://{host}:6379/0"
    assert read(GROUPGATE_REDIS_URL=url, GROUPGATE_ALLOW_HTTP="true").redis_url == url
    assert places(read(GROUPGATE_REDIS_URL=url)) == ["GROUPGATE_REDIS_URL"]
    far = read(GROUPGATE_REDIS_URL="redis://cache.example", GROUPGATE_ALLOW_HTTP="true")
    assert places(far) == ["GROUPGATE_REDIS_URL"]


def test_r03_the_password_of_redis_is_in_no_text_of_the_settings() -> None:
    """R03: neither what the settings look like nor a fault tells the address, in which a password may stand."""
    for url in (
        "rediss://:word-of-redis@cache.example",
        "redis://:word-of-redis@cache.example",
        "rediss://:word-of-redis@",
    ):
        found = read(GROUPGATE_REDIS_URL=url)
        assert "word-of-redis" not in repr(found)
        assert not any("word-of-redis" in str(fault) for fault in found.faults)


@pytest.mark.parametrize(
    "value",
    [
        "word-of-jobs",
        "word-of-jobs" + "x" * 32 + "\n.",
        "@Microsoft.KeyVault(word-of-jobs)",
        "word-of-jobs" * 4,
    ],
)
def test_r03_the_secret_of_jobs_is_in_no_text_of_the_settings(value: str) -> None:
    """R03: neither what the settings look like nor a fault tells any of it."""
    found = read(GROUPGATE_JOBS_SECRET=value)
    assert "word-of-jobs" not in repr(found)
    assert not any("word-of-jobs" in str(fault) for fault in found.faults)


@pytest.mark.parametrize(
    "value", ["short", "@Microsoft.KeyVault(SecretUri=https://contoso.vault.azure.net/secrets/jobs/)"]
)
def test_nothing_is_signed_with_what_is_no_secret(value: str) -> None:
    """A secret with a fault, such as a Key Vault reference that was not resolved, is none: no seal is ever made with it."""
    assert read(GROUPGATE_JOBS_SECRET=value).jobs_secret is None


@pytest.mark.parametrize("value", ["true", "0n", "enabled"])
def test_f39_a_slip_does_not_take_the_functions_from_under_running_jobs(value: str) -> None:
    """F39: a value of GROUPGATE_JOBS that is neither `on` nor `off` is a fault, and registers what `on` registers."""
    assert read(GROUPGATE_JOBS=value).jobs


def test_the_policy_is_found_beside_function_app_whatever_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative path starts at the folder of function_app.py; the worker changes its working folder."""
    monkeypatch.chdir(tmp_path)
    found = read(GROUPGATE_POLICY="policy.toml")
    assert (found.policy_path.parent / "function_app.py").exists()


@pytest.mark.parametrize("value", ["streaming", ""])
def test_a_bad_way_of_hosting_hosts_classic(value: str) -> None:
    """A configuration fault never makes the app vanish: a bad GROUPGATE_HTTP hosts `classic`."""
    assert read(GROUPGATE_HTTP=value).http == "classic"


@pytest.mark.parametrize(
    ("value", "on"),
    [("true", True), ("True", True), ("TRUE", True), ("false", False), ("1", False), ("yes", False), ("", False), ("truee", False)],
)  # fmt: skip
def test_s01_only_true_in_any_case_means_that_the_platform_signs_in(value: str, on: bool) -> None:
    """S01: WEBSITE_AUTH_ENABLED counts only as `true`; every other value is off."""
    assert read(WEBSITE_AUTH_ENABLED=value).platform_auth_enabled() is on


def test_s01_the_platforms_switch_is_asked_anew_each_time() -> None:
    """S01: App Service Authentication that is switched off while the app runs is off from the next request on."""
    env = {**GOOD, "WEBSITE_AUTH_ENABLED": "true"}
    found = Settings.from_env(env)
    assert found.platform_auth_enabled()
    del env["WEBSITE_AUTH_ENABLED"]
    assert not found.platform_auth_enabled()
    env["WEBSITE_AUTH_ENABLED"] = "true"
    assert found.platform_auth_enabled()


def test_by_default_the_processs_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a mapping, Settings reads the environment of the process."""
    monkeypatch.setenv("GROUPGATE_TENANT_ID", TENANT)
    assert Settings.from_env().tenant_id == TENANT


HTTP_BAD = ["http://example.com", "http://10.0.0.1", "http://localhost.evil.test", "http://127.0.0.1.evil.test", "http://127.1", "http://0.0.0.0", "http://[::]", "http://localhost@evil.test", "http://user@localhost"]  # fmt: skip
HTTP_GOOD = [
    "http://127.0.0.1:8080",
    "http://127.255.0.3",
    "http://localhost",
    "http://LOCALHOST:1",
    "http://[::1]:8080",
]


@pytest.mark.parametrize("url", HTTP_BAD)
def test_t01_plain_http_leaves_this_machine_never(url: str) -> None:
    """Ruling "Loopback": with GROUPGATE_ALLOW_HTTP, http is still for 127.0.0.0/8, ::1 and `localhost` alone."""
    assert base_url_fault(url, allow_http=True) is not None
    assert places(read(GROUPGATE_GRAPH_URL=url, GROUPGATE_ALLOW_HTTP="true")) == ["GROUPGATE_GRAPH_URL"]


@pytest.mark.parametrize("url", HTTP_GOOD)
def test_plain_http_to_this_machine_needs_the_setting(url: str) -> None:
    """Plain http to loopback is a fault without GROUPGATE_ALLOW_HTTP and none with it."""
    assert base_url_fault(url, allow_http=False) is not None
    assert base_url_fault(url, allow_http=True) is None
    assert is_loopback_url(url)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "example.com",
        "128.0.0.1",
        "::2",
        "localhost.",
        "localhost.localdomain",
        "0x7f.1",
        "2130706433",
        "127.0.0.1 ",
    ],
)
def test_what_only_looks_like_loopback_is_not(host: str) -> None:
    """Ruling "Loopback": three forms and no other."""
    assert not is_loopback(host)


@given(
    st.dictionaries(
        st.sampled_from([name for name, _ in BAD] + [*AZURE, "GROUPGATE_AUDIENCE"]), st.text(max_size=40)
    )
)
@settings(max_examples=200, deadline=None)
def test_no_environment_makes_the_reading_raise(env: dict[str, str]) -> None:
    """Importing function_app cannot raise: whatever stands in the environment is a setting or a fault."""
    found = Settings.from_env(env)
    assert all(fault.place and fault.message for fault in found.faults)
    for url in (found.authority, found.graph_url):
        assert places(found) or url.startswith("https://") or is_loopback_url(url)


def test_t10_in_azure_jobs_need_the_secret() -> None:
    """T10: where the host's keys can start an orchestration, a stored job counts only with the gate's own seal."""
    in_azure = {"WEBSITE_INSTANCE_ID": "i1", "GROUPGATE_JOBS": "on"}
    assert [fault.place for fault in read(**in_azure).faults] == ["GROUPGATE_JOBS_SECRET"]
    assert read(**in_azure, GROUPGATE_JOBS_SECRET="s" * 32).faults == ()
    assert read(WEBSITE_INSTANCE_ID="i1").faults == ()
    assert read(GROUPGATE_JOBS="on").faults == ()
