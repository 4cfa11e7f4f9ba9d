"""Bad policies (threat T22): each is refused, with the place of the fault and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.policy import loader
from shared.policy.loader import PolicyFaults

A = "6f1b2c3d-0000-4000-8000-000000000001"
B = "6f1b2c3d-0000-4000-8000-000000000002"
HEAD = f'version = 1\n[groups]\nanalysts = "{A}"\n'
URL = "https://fraud.westeurope.inference.ml.azure.com/score"
KIND = '[endpoints.fraud]\nkind = "online"\n'
ENDPOINT = f'{KIND}url = "{URL}"\n'
RULE_HEAD = '[[endpoints.fraud.rules]]\nid = "staff"\neffect = "allow"\n'
RULE = f'{RULE_HEAD}groups = ["analysts"]\n'
GOOD = HEAD + ENDPOINT + RULE
AT = "endpoints.fraud"
RESOURCE = "https://contoso.openai.azure.com"
MODEL_KIND = '[models."gpt-4.1"]\nkind = "openai"\n'
MODEL = f'{MODEL_KIND}url = "{RESOURCE}"\n'
MODEL_RULE = '[[models."gpt-4.1".rules]]\nid = "engineers"\neffect = "allow"\ngroups = ["analysts"]\n'
GPT = 'models."gpt-4.1"'
ENGINEERS = f"{GPT}.rules.engineers"
STAFF = "endpoints.fraud.rules.staff"


def url(text: str) -> str:
    return f"{HEAD}{KIND}url = '{text}'\n{RULE}"


def hosts(text: str) -> str:
    return f"{HEAD}[hosts]\nallow = {text}\n{ENDPOINT}{RULE}"


def groups(text: str) -> str:
    return f"version = 1\n[groups]\n{text}\n{ENDPOINT}{RULE}"


def endpoint(text: str) -> str:
    return f"{HEAD}{ENDPOINT}{text}\n{RULE}"


def rule(text: str) -> str:
    return f"{HEAD}{ENDPOINT}{RULE}{text}\n"


def only(text: str) -> str:
    """A rule without groups."""
    return f"{HEAD}{ENDPOINT}{RULE_HEAD}{text}\n"


def deny(text: str) -> str:
    return f'{GOOD}[[endpoints.fraud.rules]]\nid = "never"\neffect = "deny"\n{text}\n'


def resource(text: str) -> str:
    return f"{HEAD}{MODEL_KIND}url = '{text}'\n{MODEL_RULE}"


def model(text: str) -> str:
    return f"{HEAD}{MODEL}{text}\n{MODEL_RULE}"


def member(text: str) -> str:
    """A rule of a model."""
    return f"{HEAD}{MODEL}{MODEL_RULE}{text}\n"


def limits(text: str, more: str = "") -> str:
    return member(f"limits = {{ {text} }}\n{more}")


def defaults(text: str) -> str:
    return f"{HEAD}[defaults]\n{text}\n{ENDPOINT}{RULE}"


NEVER = "endpoints.fraud.rules.never"
OF_JOBS = (
    "inputs",
    "outputs",
    "own-folder",
    "literals",
    "experiments",
    "computes",
    "settings",
    "see",
    "notify",
)

BAD: dict[str, tuple[str | bytes, str, str]] = {
    # the file
    "an empty file": ("", "version", "is required"),
    "a file that is no TOML tells line and column": ("version = 1\nwhat\n", "policy", "line 2, column 5"),
    "a string without an end": ('version = 1\n[groups]\na = "x', "policy", "is not TOML at"),
    "a key written twice": (endpoint('kind = "online"'), "policy", "is not TOML at line"),
    "an endpoint written twice": (GOOD + ENDPOINT, "policy", "is not TOML at line"),
    "a byte order mark": (b"\xef\xbb\xbf" + GOOD.encode(), "policy", "byte order mark"),
    "a file in UTF-16": (GOOD.encode("utf-16"), "policy", "byte order mark"),
    "a file in Latin-1": ("version = 1\n# für Prüfer\n".encode("latin-1"), "policy", "not UTF-8 at line 2"),
    "a file that is too large": (GOOD + "#" * loader.MAX_BYTES, "policy", "larger than"),
    "lists nested by the thousand": (f"version = {'[' * 20_000}", "policy", "nested too deeply"),
    "a number of thousands of digits": (f"version = {'9' * 5_000}", "policy", "too long"),
    # the top
    "no version": (GOOD.replace("version = 1\n", ""), "version", "version = 1"),
    "version 2": (GOOD.replace("version = 1", "version = 2"), "version", "must be 1"),
    "a version that is true": (GOOD.replace("version = 1", "version = true"), "version", "must be 1"),
    "a version that is 1.0": (GOOD.replace("version = 1", "version = 1.0"), "version", "must be 1"),
    "a version in quotes": (GOOD.replace("version = 1", 'version = "1"'), "version", "must be 1"),
    "no endpoint": (HEAD, "endpoints", "is required"),
    "an empty table of endpoints": (HEAD + "[endpoints]", "endpoints", "is empty"),
    "an unknown table": (GOOD + "[settings]\n", "settings", "known are: version, endpoints"),
    "a misspelt table": (GOOD + "[endpoint]\n", "endpoint", "did you mean endpoints?"),
    "no endpoint and no model names both": (HEAD, "endpoints", "or models"),
    "an empty table of models": (GOOD + "[models]\n", "models", "is empty"),
    "models that are a list": (GOOD + "[[models]]\n", "models", "must be a table, not a list"),
    "limits at the top": (GOOD + "[limits]\n", "limits", "move it into a rule"),
    "endpoints that are a list": (HEAD + "[[endpoints]]\n", "endpoints", "must be a table, not a list"),
    # groups
    "a group id in upper case tells the right one": (
        groups(f'analysts = "{A.upper()}"'),
        "groups.analysts",
        A,
    ),
    "a group id in braces tells the right one": (groups(f'analysts = "{{{A}}}"'), "groups.analysts", A),
    "a group id without dashes tells the right one": (
        groups(f'analysts = "{A.replace("-", "")}"'),
        "groups.analysts",
        A,
    ),
    "a blank group id": (groups('analysts = " "'), "groups.analysts", "is blank"),
    "an empty group id": (groups('analysts = ""'), "groups.analysts", "is blank"),
    "a group's name for its id": (groups('analysts = "Fraud Analysts"'), "groups.analysts", "is no id"),
    "a star for a group id": (groups('analysts = "*"'), "groups.analysts", "is no id"),
    "a group id with full-width digits": (
        groups(f'analysts = "{A.replace("6f1b", "６f1b")}"'),
        "groups.analysts",
        "is no id",
    ),
    "a group id with a line feed": (groups(f'analysts = "{A}\\n"'), "groups.analysts", "is no id"),
    "a group that is a list": (groups(f'analysts = ["{A}"]'), "groups.analysts", "must be text, not a list"),
    "a group that is a number": (
        groups("analysts = 7"),
        "groups.analysts",
        "must be text, not a whole number",
    ),
    "a group that is a date": (groups("analysts = 2024-01-01"), "groups.analysts", "not a date or time"),
    "two names for one group": (
        groups(f'analysts = "{A}"\nothers = "{A}"'),
        "groups.others",
        'the id that "analysts" has',
    ),
    "a blank name for a group": (groups(f'analysts = "{A}"\n" " = "{B}"'), 'groups." "', "is blank"),
    "a group's name with dots and no quotes": (
        groups(f'analysts = "{A}"\nteam.a.b = "{B}"'),
        "groups.team",
        'must be quoted: "team.a.b"',
    ),
    # defaults
    "a default of nothing known": (
        defaults('max-age = "15m"'),
        "defaults.max-age",
        "known are: max-membership-age",
    ),
    "a default that stands at endpoints only": (defaults('timeout = "60s"'), "defaults.timeout", "known are"),
    "an age with an underscore": (
        defaults('max_membership_age = "15m"'),
        "defaults.max_membership_age",
        "did you mean max-membership-age?",
    ),
    "an age without a unit": (
        defaults('max-membership-age = "15"'),
        "defaults.max-membership-age",
        "must be a duration",
    ),
    "an age as a number": (
        defaults("max-membership-age = 15"),
        "defaults.max-membership-age",
        "must be text",
    ),
    "an age with a fraction": (
        defaults('max-membership-age = "1.5m"'),
        "defaults.max-membership-age",
        "duration",
    ),
    "a negative grace": (defaults('outage-grace = "-1s"'), "defaults.outage-grace", "must be a duration"),
    "an endless grace": (
        defaults("outage-grace = inf"),
        "defaults.outage-grace",
        "must be text, not a number",
    ),
    "a grace in weeks": (defaults('outage-grace = "1w"'), "defaults.outage-grace", "ms, s, m, h or d"),
    "a recheck in capitals": (
        defaults('recheck-refused = "60S"'),
        "defaults.recheck-refused",
        "must be a duration",
    ),
    # hosts
    "an empty list of hosts": (hosts("[]"), "hosts.allow", "is an empty list"),
    "a blank host": (hosts('[""]'), "hosts.allow", "is no host name"),
    "a star for a host": (hosts('["*"]'), "hosts.allow", "wildcard"),
    "a wildcard in a host": (hosts('["*.contoso.com"]'), "hosts.allow", "wildcard"),
    "a host with a port": (hosts('["models.contoso.com:8443"]'), "hosts.allow", "host name alone"),
    "a host with a scheme": (hosts('["https://models.contoso.com"]'), "hosts.allow", "host name alone"),
    "a host in upper case": (hosts('["Models.contoso.com"]'), "hosts.allow", "models.contoso.com"),
    "an international host name": (hosts('["modèles.contoso.com"]'), "hosts.allow", "xn--"),
    "a host that ends in a dot": (hosts('["models.contoso.com."]'), "hosts.allow", "is no host name"),
    "an address in an unusual notation": (hosts('["0x7f.1"]'), "hosts.allow", "is no host name"),
    "an address as one number": (hosts('["2130706433"]'), "hosts.allow", "is no host name"),
    "the address of the instance metadata service": (
        hosts('["169.254.169.254"]'),
        "hosts.allow",
        "no address of a model",
    ),
    "the unspecified address": (hosts('["0.0.0.0"]'), "hosts.allow", "no address of a model"),
    "an address that can be written shorter": (
        hosts('["0:0:0:0:0:0:0:1"]'),
        "hosts.allow",
        "must be written ::1",
    ),
    "a host named twice": (hosts('["a.contoso.com", "a.contoso.com"]'), "hosts.allow", "twice"),
    "hosts without a list": (HEAD + "[hosts]\n" + ENDPOINT + RULE, "hosts.allow", "is required"),
    # the endpoint's name and kind
    "an endpoint's name with dots and no quotes": (
        HEAD + "[endpoints.gpt-4.1]\nkind = 'online'\n",
        "endpoints.gpt-4.1",
        'must be quoted: "gpt-4.1"',
    ),
    "an endpoint's name with more dots and no quotes": (
        HEAD + "[endpoints.a.b.c]\nkind = 'online'\n",
        "endpoints.a.b",
        'must be quoted: "a.b.c"',
    ),
    "an endpoint's name with a slash": (
        GOOD.replace("endpoints.fraud", "endpoints.'a/b'"),
        'endpoints."a/b"',
        "1 to 64 letters",
    ),
    "an endpoint's name that begins with a dash": (
        GOOD.replace(".fraud", ".-fraud"),
        "endpoints.-fraud",
        "beginning with",
    ),
    "an endpoint's name of 65 characters": (
        GOOD.replace(".fraud", "." + "f" * 65).replace("//" + "f" * 65, "//f"),
        f'endpoints."{"f" * 60}\\u2026"',
        "1 to 64",
    ),
    "an endpoint's name that is empty": (
        GOOD.replace("endpoints.fraud", 'endpoints.""'),
        'endpoints.""',
        "1 to 64",
    ),
    "an endpoint's name in other letters": (
        GOOD.replace("endpoints.fraud", "endpoints.'betrügen'"),
        'endpoints."betr\\u00fcgen"',
        "1 to 64 letters",
    ),
    "an endpoint that is text": (HEAD + "[endpoints]\nfraud = 'x'\n", AT, "must be a table, not text"),
    "an endpoint without a kind": (GOOD.replace('kind = "online"\n', ""), f"{AT}.kind", "is required"),
    "an endpoint without a url": (HEAD + KIND + RULE, f"{AT}.url", "is required"),
    "an endpoint without rules": (HEAD + ENDPOINT, f"{AT}.rules", "is required"),
    "an endpoint of an unknown kind": (
        GOOD.replace('"online"', '"Online"'),
        f"{AT}.kind",
        'must be "online" or "batch"',
    ),
    "an endpoint of no kind": (
        GOOD.replace('"online"', "true"),
        f"{AT}.kind",
        'must be "online" or "batch"',
    ),
    "T10: an online endpoint at the scoring URI of a batch endpoint": (
        url(URL.replace("/score", "/jobs")),
        f"{AT}.url",
        'is of a batch endpoint (kind = "batch")',
    ),
    "T10: the same in other letter case": (url(URL.replace("/score", "/v1/JOBS")), f"{AT}.url", "/jobs"),
    # the url
    "an http url": (url(URL.replace("https", "http")), f"{AT}.url", "must be https"),
    "a url of another scheme": (url(URL.replace("https", "ftp")), f"{AT}.url", "beginning with https://"),
    "a url without a scheme": (url(URL.removeprefix("https://")), f"{AT}.url", "beginning with https://"),
    "an empty url": (url(""), f"{AT}.url", "beginning with https://"),
    "a url without a host": (url("https:///score"), f"{AT}.url", "beginning with https://"),
    "a url to a host that is not Azure's": (
        url("https://models.contoso.com/score"),
        f"{AT}.url",
        "not in [hosts] allow",
    ),
    "a url to a host that only ends like Azure's": (
        url("https://evilinference.ml.azure.com/score"),
        f"{AT}.url",
        "no Azure inference host",
    ),
    "a url to a host that only begins like Azure's": (
        url("https://fraud.westeurope.inference.ml.azure.com.evil.example/score"),
        f"{AT}.url",
        "no Azure inference host",
    ),
    "a url to the bare suffix": (
        url("https://inference.ml.azure.com/score"),
        f"{AT}.url",
        "no Azure inference host",
    ),
    "a url with an empty label in the host": (
        url("https://.inference.ml.azure.com/score"),
        f"{AT}.url",
        "no host name",
    ),
    "a url with a user name": (url(URL.replace("https://", "https://me@")), f"{AT}.url", "user name"),
    "a url with a user name that looks like the host": (
        url("https://fraud.westeurope.inference.ml.azure.com@evil.example/score"),
        f"{AT}.url",
        "user name",
    ),
    "a url with a query": (url(URL + "?a=b"), f"{AT}.url", "query"),
    "a url with an empty query": (url(URL + "?"), f"{AT}.url", "query"),
    "a url with a fragment": (url(URL + "#a"), f"{AT}.url", "fragment"),
    "a url with a port": (url(URL.replace(".com/", ".com:8443/")), f"{AT}.url", "leave out the port"),
    "a url with the standard port": (
        url(URL.replace(".com/", ".com:443/")),
        f"{AT}.url",
        "leave out the port",
    ),
    "a url with an empty port": (url(URL.replace(".com/", ".com:/")), f"{AT}.url", "must be written plainly"),
    "a url with a port that is no number": (url(URL.replace(".com/", ".com:x/")), f"{AT}.url", "is no URL"),
    "a url with a port beyond all ports": (
        url(URL.replace(".com/", ".com:65536/")),
        f"{AT}.url",
        "is no URL",
    ),
    "a url with a backslash": (url(URL.replace("/score", "\\score")), f"{AT}.url", "backslashes"),
    "a url with a space": (url(URL + " "), f"{AT}.url", "no spaces"),
    "a url with a tab": (url(URL.replace("/score", "/sc\tore")), f"{AT}.url", "no spaces"),
    "a url with a percent sign": (url(URL + "%2e"), f"{AT}.url", "percent"),
    "a url with other letters in the host": (url(URL.replace("fraud", "fräud")), f"{AT}.url", "ASCII"),
    "a url with a look-alike full stop": (url(URL.replace("ml.azure", "ml。azure")), f"{AT}.url", "ASCII"),
    "a url with a host in upper case tells the right one": (
        url(URL.replace("fraud", "FRAUD")),
        f"{AT}.url",
        URL,
    ),
    "a url with a scheme in upper case": (
        url(URL.replace("https", "HTTPS")),
        f"{AT}.url",
        "must be written plainly",
    ),
    "a url whose host ends in a dot": (url(URL.replace(".com/", ".com./")), f"{AT}.url", "is no host name"),
    "a url without a path": (url(URL.removesuffix("/score")), f"{AT}.url", "usually /score"),
    "a url with nothing but a slash": (url(URL.removesuffix("score")), f"{AT}.url", "usually /score"),
    "a url that ends in a slash": (url(URL + "/"), f"{AT}.url", "no slash at the end"),
    "a url with dots for a segment": (
        url(URL.replace("/score", "/a/../score")),
        f"{AT}.url",
        "plain segments",
    ),
    "a url with two slashes": (url(URL.replace("/score", "//score")), f"{AT}.url", "plain segments"),
    "a url with brackets that hold no address": (url("https://[x]/score"), f"{AT}.url", "is no URL"),
    "a url that is endless": (url(URL + "s" * 2_000), f"{AT}.url", "plain URL"),
    "a url to loopback that nobody allowed": (
        url("https://127.0.0.1:8443/score"),
        f"{AT}.url",
        "not in [hosts] allow",
    ),
    # the endpoint's other keys
    "an unknown key": (endpoint('retries = "3"'), f"{AT}.retries", "is an unknown key"),
    "a misspelt key": (endpoint('timeuot = "60s"'), f"{AT}.timeuot", "did you mean timeout?"),
    "a key in camel case": (endpoint('maxBody = "4MiB"'), f"{AT}.maxBody", "did you mean max-body?"),
    "operations at an endpoint": (
        endpoint('operations = ["embeddings"]'),
        f"{AT}.operations",
        "is for models",
    ),
    "a deployment at an endpoint": (endpoint('deployment = "blue"'), f"{AT}.deployment", "is for models"),
    "fields at an endpoint": (endpoint('fields = ["store"]'), f"{AT}.fields", "is for models"),
    "limits at an endpoint": (endpoint("limits = {}"), f"{AT}.limits", "is for models"),
    **{
        f"{key} at an online endpoint": (endpoint(f"{key} = {{}}"), f"{AT}.{key}", "is for batch endpoints")
        for key in ("workspace", "management", "job-timeout", "running-jobs")
    },
    **{
        f"{key} at an online endpoint": (
            endpoint(f"{key} = {{}}"),
            f"{AT}.{key}",
            "is for the rules of batch endpoints",
        )
        for key in OF_JOBS
    },
    **{
        f"{key} at a rule of an online endpoint": (
            rule(f"{key} = {{}}"),
            f"{STAFF}.{key}",
            "is for the rules of batch endpoints",
        )
        for key in OF_JOBS
    },
    **{
        f"{key} at a rule of a model": (
            member(f"{key} = {{}}"),
            f"{ENGINEERS}.{key}",
            "is for the rules of batch endpoints",
        )
        for key in OF_JOBS
    },
    "a workspace at a model": (model('workspace = "x"'), f"{GPT}.workspace", "is for batch endpoints"),
    "a timeout of zero": (endpoint('timeout = "0s"'), f"{AT}.timeout", "at least 1s"),
    "a timeout below a second": (endpoint('timeout = "999ms"'), f"{AT}.timeout", "at least 1s"),
    "a timeout beyond 225 seconds": (endpoint('timeout = "226s"'), f"{AT}.timeout", "at most 225s"),
    "a timeout beyond 225 seconds in minutes": (endpoint('timeout = "4m"'), f"{AT}.timeout", "at most 225s"),
    "a timeout with a space": (endpoint('timeout = "60 s"'), f"{AT}.timeout", "must be a duration"),
    "a timeout with a leading zero": (endpoint('timeout = "060s"'), f"{AT}.timeout", "must be a duration"),
    "a body of nothing": (endpoint('max-body = "0B"'), f"{AT}.max-body", "from 1B to 100MiB"),
    "a body beyond 100 MiB": (endpoint('max-body = "101MiB"'), f"{AT}.max-body", "from 1B to 100MiB"),
    "a body in megabytes": (endpoint('max-body = "4MB"'), f"{AT}.max-body", "must be a size"),
    "a body as a number": (
        endpoint("max-body = 4194304"),
        f"{AT}.max-body",
        "must be text, not a whole number",
    ),
    "no content type": (endpoint("content-types = []"), f"{AT}.content-types", "is an empty list"),
    "any content type": (endpoint('content-types = ["*/*"]'), f"{AT}.content-types", "media type"),
    "a content type with parameters": (
        endpoint('content-types = ["application/json; charset=utf-8"]'),
        f"{AT}.content-types",
        "without parameters",
    ),
    "a content type in capitals": (
        endpoint('content-types = ["Application/JSON"]'),
        f"{AT}.content-types",
        "lower case",
    ),
    "a content type as text": (
        endpoint('content-types = "text/csv"'),
        f"{AT}.content-types",
        "must be a list, not text",
    ),
    "a content type twice": (
        endpoint('content-types = ["text/csv", "text/csv"]'),
        f"{AT}.content-types",
        "twice",
    ),
    "no concurrency": (endpoint("concurrency = 0"), f"{AT}.concurrency", "from 1 to 10000"),
    "too much concurrency": (endpoint("concurrency = 10001"), f"{AT}.concurrency", "from 1 to 10000"),
    "a concurrency that is true": (
        endpoint("concurrency = true"),
        f"{AT}.concurrency",
        "must be a whole number",
    ),
    "a concurrency with a fraction": (
        endpoint("concurrency = 1.5"),
        f"{AT}.concurrency",
        "must be a whole number",
    ),
    "relay-errors as text": (
        endpoint('relay-errors = "false"'),
        f"{AT}.relay-errors",
        "must be true or false",
    ),
    "relay-errors as a number": (endpoint("relay-errors = 0"), f"{AT}.relay-errors", "must be true or false"),
    "a blank help": (endpoint('help = "  "'), f"{AT}.help", "is blank"),
    "a help of two lines": (endpoint('help = "one\\ntwo"'), f"{AT}.help", "one line"),
    "a help with a right-to-left override": (endpoint('help = "a\\u202eb"'), f"{AT}.help", "printable"),
    "a help of 1,001 characters": (endpoint(f'help = "{"h" * 1001}"'), f"{AT}.help", "at most 1000"),
    "a scope without a scheme": (
        endpoint('scope = "ml.azure.com/.default"'),
        f"{AT}.scope",
        "such as https://ml.azure.com",
    ),
    "a scope that is no .default": (endpoint('scope = "https://ml.azure.com"'), f"{AT}.scope", "/.default"),
    "two scopes in one": (
        endpoint('scope = "https://ml.azure.com/.default https://graph.microsoft.com/.default"'),
        f"{AT}.scope",
        "must be the scope",
    ),
    # rules
    "an empty list of rules": (endpoint("").replace(RULE, "rules = []"), f"{AT}.rules", "is an empty list"),
    "rules with one bracket": (
        GOOD.replace("[[endpoints.fraud.rules]]", "[endpoints.fraud.rules]"),
        f"{AT}.rules",
        "two brackets",
    ),
    "a rule that is text": (
        HEAD + ENDPOINT + 'rules = ["analysts"]',
        f"{AT}.rules[0]",
        "must be a table, not text",
    ),
    "a rule without an id": (GOOD.replace('id = "staff"\n', ""), f"{AT}.rules[0].id", "is required"),
    "a rule with a blank id": (GOOD.replace('"staff"', '""'), f"{AT}.rules[0].id", "is blank"),
    "a rule with two lines in its id": (
        GOOD.replace('"staff"', '"the\\nstaff"'),
        f"{AT}.rules[0].id",
        "one line of printable text",
    ),
    "an endpoint whose every allow is denied again": (
        deny('groups = ["analysts"]'),
        f"{AT}.rules",
        "allow nobody",
    ),
    "a rule without an effect": (GOOD.replace('effect = "allow"\n', ""), f"{STAFF}.effect", "is required"),
    "a rule with an effect in capitals": (
        GOOD.replace('"allow"', '"Allow"'),
        f"{STAFF}.effect",
        '"allow" or "deny"',
    ),
    "a rule with an effect that is true": (
        GOOD.replace('"allow"', "true"),
        f"{STAFF}.effect",
        '"allow" or "deny"',
    ),
    "two rules of one id": (GOOD + RULE, f"{AT}.rules[1].id", "make it unique"),
    "an unknown key at a rule": (rule('when = "monday"'), f"{STAFF}.when", "is an unknown key"),
    "a misspelt key at a rule": (
        rule('deployment = ["blue"]'),
        f"{STAFF}.deployment",
        "did you mean deployments?",
    ),
    "a plural left out": (rule('client = ["x"]'), f"{STAFF}.client", "did you mean clients?"),
    "limits at a rule of an endpoint": (
        rule('limits = { requests = "60/minute" }'),
        f"{STAFF}.limits",
        "is for the rules of models",
    ),
    "limits for each caller at a rule of an endpoint": (
        rule('per = "caller"'),
        f"{STAFF}.per",
        "is for the rules of models",
    ),
    "a rule that proves nothing": (only(""), STAFF, "at least one of groups, principals and app-roles"),
    "a rule that only narrows": (
        only('callers = ["user"]'),
        STAFF,
        "at least one of groups, principals and app-roles",
    ),
    "an empty list of groups": (only("groups = []"), f"{STAFF}.groups", "is an empty list"),
    "a list of one blank group": (only('groups = [""]'), f"{STAFF}.groups", "is blank"),
    "a star for a group": (only('groups = ["*"]'), f"{STAFF}.groups", "is not in [groups]"),
    "a group that nobody named": (
        only('groups = ["analyst"]'),
        f"{STAFF}.groups",
        'did you mean "analysts"?',
    ),
    "a group like no other": (only('groups = ["zz"]'), f"{STAFF}.groups", "add it there"),
    "a group in other case": (only('groups = ["Analysts"]'), f"{STAFF}.groups", "is not in [groups]"),
    "a group by its id": (only(f'groups = ["{A}"]'), f"{STAFF}.groups", "give it a name in [groups]"),
    "a group twice": (only('groups = ["analysts", "analysts"]'), f"{STAFF}.groups", "twice"),
    "groups as text": (only('groups = "analysts"'), f"{STAFF}.groups", "must be a list, not text"),
    "groups within groups": (only('groups = [["analysts"]]'), f"{STAFF}.groups", "must be text, not a list"),
    "no group of a table that is not there": (
        f"version = 1\n{ENDPOINT}{RULE}",
        f"{STAFF}.groups",
        "is not in [groups]",
    ),
    "an empty list of principals": (rule("principals = []"), f"{STAFF}.principals", "is an empty list"),
    "a blank principal": (rule('principals = [""]'), f"{STAFF}.principals", "is blank"),
    "a star for a principal": (rule('principals = ["*"]'), f"{STAFF}.principals", "is no id"),
    "a principal by its address": (
        rule('principals = ["a@contoso.com"]'),
        f"{STAFF}.principals",
        "ids decide, not names",
    ),
    "a principal in upper case": (rule(f'principals = ["{A.upper()}"]'), f"{STAFF}.principals", A),
    "a principal twice": (rule(f'principals = ["{B}", "{B}"]'), f"{STAFF}.principals", "twice"),
    "the id of a group among principals": (
        only(f'principals = ["{A}"]'),
        f"{STAFF}.principals",
        "the id of the group",
    ),
    "the id of a group among clients": (
        rule(f'clients = ["{A}"]'),
        f"{STAFF}.clients",
        "the id of the group",
    ),
    "an empty list of app roles": (rule("app-roles = []"), f"{STAFF}.app-roles", "is an empty list"),
    "a blank app role": (rule('app-roles = [""]'), f"{STAFF}.app-roles", "value of an app role"),
    "an app role with a space": (rule('app-roles = ["Score All"]'), f"{STAFF}.app-roles", "without spaces"),
    "an app role with a wildcard": (rule('app-roles = ["Score.*"]'), f"{STAFF}.app-roles", "wildcard"),
    "no kind of caller": (rule("callers = []"), f"{STAFF}.callers", "is an empty list"),
    "an unknown kind of caller": (
        rule('callers = ["admin"]'),
        f"{STAFF}.callers",
        '"app" or "guest" or "user"',
    ),
    "callers of undecided kind": (rule('callers = ["undecided"]'), f"{STAFF}.callers", '"user"'),
    "callers in the plural": (rule('callers = ["users"]'), f"{STAFF}.callers", '"user"'),
    "a kind of caller twice": (rule('callers = ["user", "user"]'), f"{STAFF}.callers", "twice"),
    "no client": (rule("clients = []"), f"{STAFF}.clients", "is an empty list"),
    "a client by its name": (rule('clients = ["portal"]'), f"{STAFF}.clients", "is no id"),
    "a client in upper case": (rule(f'clients = ["{A.upper()}"]'), f"{STAFF}.clients", A),
    "no deployment": (rule("deployments = []"), f"{STAFF}.deployments", "is an empty list"),
    "a star for a deployment": (rule('deployments = ["*"]'), f"{STAFF}.deployments", "1 to 64 letters"),
    "a deployment twice": (rule('deployments = ["blue", "blue"]'), f"{STAFF}.deployments", "twice"),
    "a deny rule that proves nothing": (deny('callers = ["guest"]'), NEVER, "at least one of"),
    "a deny rule with an empty list": (deny("groups = []"), f"{NEVER}.groups", "is an empty list"),
    "a deny rule for a group that nobody named": (
        deny('groups = ["leavers"]'),
        f"{NEVER}.groups",
        "is not in [groups]",
    ),
    "the id of a group among the principals of a deny rule": (
        deny(f'principals = ["{A}"]'),
        f"{NEVER}.principals",
        "the id of the group",
    ),
    # models
    "a model's name with dots and no quotes": (
        HEAD + "[models.gpt-4.1]\nkind = 'openai'\n",
        "models.gpt-4.1",
        'must be quoted: "gpt-4.1"',
    ),
    "a model's name with a slash": (
        (HEAD + MODEL + MODEL_RULE).replace('"gpt-4.1"', '"openai/gpt"'),
        'models."openai/gpt"',
        "1 to 64 letters",
    ),
    "a model of an unknown kind": (
        (HEAD + MODEL + MODEL_RULE).replace('"openai"', '"anthropic"'),
        f"{GPT}.kind",
        'must be "openai"',
    ),
    "a model of an endpoint's kind": (
        (HEAD + MODEL + MODEL_RULE).replace('"openai"', '"online"'),
        f"{GPT}.kind",
        'must be "openai"',
    ),
    "a model without a url": (HEAD + MODEL_KIND + MODEL_RULE, f"{GPT}.url", "is required"),
    "a model without rules": (HEAD + MODEL, f"{GPT}.rules", "is required"),
    "an unknown key at a model": (model('region = "x"'), f"{GPT}.region", "is an unknown key"),
    "a misspelt key at a model": (
        model('deployments = "x"'),
        f"{GPT}.deployments",
        "did you mean deployment?",
    ),
    "media types at a model": (
        model('content-types = ["application/json"]'),
        f"{GPT}.content-types",
        "follows from the operation",
    ),
    "limits at a model": (model('limits = { requests = "1/hour" }'), f"{GPT}.limits", "move it into a rule"),
    "T02: a deployment with a slash": (
        model('deployment = "a/../b"'),
        f"{GPT}.deployment",
        "1 to 64 letters",
    ),
    "T02: a deployment of two dots": (model('deployment = ".."'), f"{GPT}.deployment", "beginning with"),
    "no operation": (model("operations = []"), f"{GPT}.operations", "is an empty list"),
    "T09: an operation that is not in the table": (
        model('operations = ["files"]'),
        f"{GPT}.operations",
        '"chat/completions" or',
    ),
    "an operation in other case": (
        model('operations = ["Embeddings"]'),
        f"{GPT}.operations",
        '"chat/completions" or',
    ),
    "an operation that comes with another": (
        model('operations = ["responses/retrieve"]'),
        f"{GPT}.operations",
        '"chat/completions" or',
    ),
    "an operation twice": (model('operations = ["embeddings", "embeddings"]'), f"{GPT}.operations", "twice"),
    "no field": (model("fields = []"), f"{GPT}.fields", "is an empty list"),
    "T09: a star for a field": (model('fields = ["*"]'), f"{GPT}.fields", "must be"),
    "a field in capitals": (model('fields = ["Store"]'), f"{GPT}.fields", "must be"),
    **{
        f"T01, T06, T13: the field {name} can never be let in": (
            model(f'fields = ["{name}"]'),
            f"{GPT}.fields",
            " let ",
        )
        for name in (
            "model",
            "models",
            "deployment",
            "engine",
            "api_base",
            "api_key",
            "base_url",
            "fallbacks",
            "extra_body",
        )
    },
    "a field twice": (model('fields = ["store", "store"]'), f"{GPT}.fields", "twice"),
    "nothing to reserve": (model("default-max-tokens = 0"), f"{GPT}.default-max-tokens", "from 1 to 1000000"),
    "too much to reserve": (
        model("default-max-tokens = 1000001"),
        f"{GPT}.default-max-tokens",
        "from 1 to 1000000",
    ),
    "tokens as text": (
        model('default-max-tokens = "1k"'),
        f"{GPT}.default-max-tokens",
        "must be a whole number",
    ),
    "E11: a scope of another service": (
        model('scope = "https://graph.microsoft.com/.default"'),
        f"{GPT}.scope",
        "never for a model",
    ),
    "T01: a model at an endpoint's host": (
        resource(URL.removesuffix("/score")),
        f"{GPT}.url",
        "no Azure inference host",
    ),
    "T01: an endpoint at a model's host": (url(f"{RESOURCE}/score"), f"{AT}.url", "no Azure inference host"),
    "T01: a resource at a host that is not Azure's": (
        resource("https://api.openai.com"),
        f"{GPT}.url",
        "not in [hosts] allow",
    ),
    "T01: a resource at a host that only ends like Azure's": (
        resource("https://evilopenai.azure.com"),
        f"{GPT}.url",
        "no Azure inference host",
    ),
    "T01: a resource at a host that only begins like Azure's": (
        resource("https://contoso.openai.azure.com.evil.example"),
        f"{GPT}.url",
        "no Azure inference host",
    ),
    "T01: the bare suffix of resources": (
        resource("https://openai.azure.com"),
        f"{GPT}.url",
        "no Azure inference host",
    ),
    "T01: a resource by http": (resource(RESOURCE.replace("https", "http")), f"{GPT}.url", "must be https"),
    "T01: a resource with a user name": (
        resource("https://me@contoso.openai.azure.com"),
        f"{GPT}.url",
        "user name",
    ),
    "T01: a resource with a query": (resource(f"{RESOURCE}?api-version=1"), f"{GPT}.url", "query"),
    "T01: a resource with a port": (resource(f"{RESOURCE}:8443"), f"{GPT}.url", "leave out the port"),
    "a resource with a path": (resource(f"{RESOURCE}/openai/v1"), f"{GPT}.url", "with no path"),
    "a resource in upper case tells the right one": (
        resource(RESOURCE.replace("contoso", "Contoso")),
        f"{GPT}.url",
        RESOURCE,
    ),
    # rules of models
    "T05: deployments at a rule of a model": (
        member('deployments = ["blue"]'),
        f"{ENGINEERS}.deployments",
        "stands in its own table",
    ),
    "an unknown key at a rule of a model": (
        member('when = "monday"'),
        f"{ENGINEERS}.when",
        "is an unknown key",
    ),
    "a rule of a model for a group that nobody named": (
        member("").replace('groups = ["analysts"]', 'groups = ["engineers"]'),
        f"{ENGINEERS}.groups",
        "is not in [groups]",
    ),
    "a rule of a model that proves nothing": (
        member("").replace('groups = ["analysts"]\n', ""),
        ENGINEERS,
        "at least one of",
    ),
    "two rules of one id at a model": (HEAD + MODEL + MODEL_RULE * 2, f"{GPT}.rules[1].id", "make it unique"),
    "a model whose every rule denies": (
        member("").replace('"allow"', '"deny"'),
        f"{GPT}.rules",
        "allow nobody",
    ),
    # limits
    "limits of nothing": (limits(""), f"{ENGINEERS}.limits", "at least one of requests and tokens"),
    "limits that only say for whom": (limits('per = "rule"'), f"{ENGINEERS}.limits", "at least one of"),
    "limits as text": (member('limits = "60/minute"'), f"{ENGINEERS}.limits", "must be a table, not text"),
    "an unknown key in limits": (
        limits('requests = "1/hour", burst = 5'),
        f"{ENGINEERS}.limits.burst",
        "known are",
    ),
    "a misspelt key in limits": (
        limits('request = "1/hour", tokens = "1/hour"'),
        f"{ENGINEERS}.limits.request",
        "did you mean requests?",
    ),
    "a limit as a number": (limits("requests = 60"), f"{ENGINEERS}.limits.requests", "must be text"),
    "a limit without a window": (
        limits('requests = "60"'),
        f"{ENGINEERS}.limits.requests",
        "such as 60/minute",
    ),
    "a limit of nothing": (
        limits('requests = "0/minute"'),
        f"{ENGINEERS}.limits.requests",
        "whole number and a window",
    ),
    "a negative limit": (
        limits('tokens = "-1/hour"'),
        f"{ENGINEERS}.limits.tokens",
        "whole number and a window",
    ),
    "a limit with a fraction": (
        limits('tokens = "1.5/hour"'),
        f"{ENGINEERS}.limits.tokens",
        "whole number and a window",
    ),
    "a limit with a thousands mark": (
        limits('tokens = "100_000/hour"'),
        f"{ENGINEERS}.limits.tokens",
        "whole number and a window",
    ),
    "a limit without bound": (
        limits('tokens = "inf/hour"'),
        f"{ENGINEERS}.limits.tokens",
        "whole number and a window",
    ),
    "a limit in another window": (
        limits('requests = "60/week"'),
        f"{ENGINEERS}.limits.requests",
        "second, minute, hour or day",
    ),
    "a limit in the plural": (
        limits('requests = "60/minutes"'),
        f"{ENGINEERS}.limits.requests",
        "second, minute, hour or day",
    ),
    "a limit with spaces": (
        limits('requests = "60 / minute"'),
        f"{ENGINEERS}.limits.requests",
        "whole number and a window",
    ),
    "a limit in other digits": (
        limits('requests = "６0/minute"'),
        f"{ENGINEERS}.limits.requests",
        "whole number and a window",
    ),
    "limits for somebody else": (
        limits('requests = "1/hour", per = "group"'),
        f"{ENGINEERS}.limits.per",
        '"caller" or "rule"',
    ),
    "limits counted elsewhere": (
        limits('requests = "1/hour", scope = "global"'),
        f"{ENGINEERS}.limits.scope",
        '"instance" or "shared"',
    ),
    "E05: limits that fail open": (
        limits('requests = "1/hour", fail = "open"'),
        f"{ENGINEERS}.limits.fail",
        '"closed" or "local"',
    ),
    "a way to fail for what needs no Redis": (
        limits('requests = "1/hour", scope = "instance", fail = "local"'),
        f"{ENGINEERS}.limits",
        "which is for limits in Redis",
    ),
    "how limits count, without limits": (member('per = "rule"'), f"{ENGINEERS}.per", "there are none here"),
    "how limits fail, without limits": (member('fail = "local"'), f"{ENGINEERS}.fail", "there are none here"),
    "how limits count, said twice": (
        limits('requests = "1/hour", per = "rule"', 'per = "rule"'),
        f"{ENGINEERS}.per",
        "keep one",
    ),
    "limits of a deny rule": (
        member("")
        + f"[[{GPT}.rules]]\nid = 'never'\neffect = 'deny'\nprincipals = ['{B}']\nlimits.requests = '1/hour'\n",
        f"{GPT}.rules.never.limits",
        "a deny rule gives nothing away",
    ),
    "an endpoint whose every rule denies": (GOOD.replace('"allow"', '"deny"'), f"{AT}.rules", "allow nobody"),
}


@pytest.mark.parametrize(("text", "place", "words"), BAD.values(), ids=BAD.keys())
def test_t22_a_bad_policy_is_refused_with_its_place(text: str | bytes, place: str, words: str) -> None:
    """T22: a policy with this one fault is refused, and the fault says where it is and what to do."""
    data = text if isinstance(text, bytes) else text.encode()
    with pytest.raises(PolicyFaults) as refused:
        loader.load(data, allow_http=False)
    found = [(fault.place, fault.message) for fault in refused.value.faults]
    if text == "":
        assert [place for place, _ in found] == ["version", "endpoints"]
        return
    assert len(found) == 1, found
    assert found[0][0] == place
    assert words in found[0][1]


def test_t22_there_are_enough_bad_policies() -> None:
    """T22: at least 60 bad configurations stand in the table."""
    assert len(BAD) >= 60


def test_every_fault_of_a_file_is_reported_at_once() -> None:
    """Faults of every sort come together: wrong types, unknown keys, names that lead nowhere, hosts, duplicates."""
    text = f"""
version = 2
[groups]
one = "{A}"
two = "{A}"
three = "x"
[defaults]
outage-grace = 5
[endpoints.a]
kind = "online"
url = "http://a.example/score"
timeout = "1h"
rules = [
  {{ id = "r", effect = "allow", groups = ["four"], clints = [] }},
  {{ id = "r", effect = "never" }},
  7,
]
[endpoints."b.c"]
kind = "online"
[endpoints.d]
kind = "Batch"
url = "http://a.example/score"
inputs = []
rules = [{{ id = "r", effect = "deny", inputs = ["x"], see = "all" }}]
"""
    with pytest.raises(PolicyFaults) as refused:
        loader.load(text.encode(), allow_http=True)
    assert sorted(fault.place for fault in refused.value.faults) == sorted(
        [
            "version",
            "groups.two",
            "groups.three",
            "defaults.outage-grace",
            "endpoints.a.url",
            "endpoints.a.timeout",
            "endpoints.a.rules[0].groups",
            "endpoints.a.rules[0].clints",
            "endpoints.a.rules[1].id",
            "endpoints.a.rules[1].effect",
            "endpoints.a.rules[1]",
            "endpoints.a.rules[2]",
            'endpoints."b.c".url',
            'endpoints."b.c".rules',
            "endpoints.d.kind",
            "endpoints.d.inputs",
            "endpoints.d.rules.r",
            "endpoints.d.rules.r.inputs",
            "endpoints.d.rules.r.inputs[0]",
            "endpoints.d.rules.r.see",
        ]
    )


def test_a_fault_reads_as_place_and_message() -> None:
    """As text a fault is its place, a colon and what to do; the exception's text is all of them."""
    with pytest.raises(PolicyFaults) as refused:
        loader.load(endpoint('timeout = "1h"').encode(), allow_http=False)
    assert str(refused.value) == 'endpoints.fraud.timeout: "1h" must be at most 225s'


def test_what_is_quoted_from_the_policy_is_short_and_without_control_characters() -> None:
    """A fault is one line of printable text, however the policy is written: it goes to logs and terminals."""
    text = endpoint(f'"{"k" * 500}\\u001b[31m\\n" = 1') + '"\\u0007" = 1\n'
    with pytest.raises(PolicyFaults) as refused:
        loader.load(text.encode(), allow_http=False)
    for fault in refused.value.faults:
        assert str(fault).isprintable()
        assert len(fault.place) < 200


@pytest.mark.parametrize(
    ("address", "allow_http", "allow", "fits"),
    [
        pytest.param("http://127.0.0.1:5001/score", True, '["127.0.0.1"]', True, id="allowed and named"),
        pytest.param(
            "http://localhost:5001/score", True, '["localhost"]', True, id="allowed and named as localhost"
        ),
        pytest.param("http://[::1]:5001/score", True, '["::1"]', True, id="allowed and named in IPv6"),
        pytest.param(
            "http://127.0.0.1:5001/score", False, '["127.0.0.1"]', False, id="named but not allowed"
        ),
        pytest.param(
            "http://127.0.0.1:5001/score", True, '["localhost"]', False, id="allowed but another is named"
        ),
        pytest.param("http://10.0.0.4:5001/score", True, '["10.0.0.4"]', False, id="named but not loopback"),
        pytest.param(
            "http://localhost.contoso.com/score", True, '["localhost.contoso.com"]', False, id="only looks so"
        ),
        pytest.param(
            "https://models.contoso.com:8443/score",
            False,
            '["models.contoso.com"]',
            True,
            id="https, any port",
        ),
        pytest.param(
            "https://a.models.contoso.com/score", False, '["models.contoso.com"]', False, id="a name below it"
        ),
        pytest.param(
            "https://models.contoso.com:0/score", False, '["models.contoso.com"]', False, id="port zero"
        ),
    ],
)
def test_t01_http_is_for_loopback_that_is_named_and_allowed(
    address: str, allow_http: bool, allow: str, fits: bool
) -> None:
    """T01: http:// needs the setting, a loopback host and its exact name in `[hosts] allow`; other hosts need https."""
    text = f"{HEAD}[hosts]\nallow = {allow}\n{KIND}url = '{address}'\n{RULE}".encode()
    if fits:
        assert loader.load(text, allow_http=allow_http).routes["endpoint", "fraud"].url == address
        return
    with pytest.raises(PolicyFaults) as refused:
        loader.load(text, allow_http=allow_http)
    assert [fault.place for fault in refused.value.faults] == ["endpoints.fraud.url"]


@pytest.mark.parametrize(
    ("text", "shared", "fits"),
    [
        pytest.param('requests = "1/hour"', False, False, id="what says nothing is counted together"),
        pytest.param('requests = "1/hour", scope = "shared"', False, False, id="what says together"),
        pytest.param('requests = "1/hour", scope = "instance"', False, True, id="each instance for itself"),
        pytest.param('requests = "1/hour"', True, True, id="together, with Redis"),
        pytest.param('requests = "1/hour", scope = "instance"', True, True, id="for itself, with Redis"),
    ],
)
def test_limits_without_redis_are_for_each_instance(text: str, shared: bool, fits: bool) -> None:
    """Design 1: without Redis every instance would count for itself, so the policy must say that it may."""
    if fits:
        loader.load(limits(text).encode(), allow_http=False, shared_counters=shared)
        return
    with pytest.raises(PolicyFaults) as refused:
        loader.load(limits(text).encode(), allow_http=False, shared_counters=shared)
    (fault,) = refused.value.faults
    assert fault.place == f"{ENGINEERS}.limits"
    assert "GROUPGATE_REDIS_URL" in fault.message
    assert 'scope = "instance"' in fault.message


@pytest.mark.parametrize("cloud", ["com", "us", "cn"])
@pytest.mark.parametrize("service", ["openai", "services.ai", "cognitiveservices"])
def test_the_resource_hosts_of_every_cloud_are_known(service: str, cloud: str) -> None:
    """T01: Azure OpenAI, Foundry and AI services resources of the three clouds need no entry in `[hosts]`."""
    address = f"https://contoso.{service}.azure.{cloud}"
    policy = loader.load(resource(address).encode(), allow_http=False)
    assert policy.routes["model", "gpt-4.1"].url == address


@pytest.mark.parametrize(
    ("address", "allow_http", "fits"),
    [
        pytest.param("http://127.0.0.1:5002", True, True, id="allowed and named"),
        pytest.param("http://127.0.0.1:5002", False, False, id="named but not allowed"),
        pytest.param("http://127.0.0.1:5002/", True, True, id="with a slash, which is no path"),
        pytest.param("http://127.0.0.1:5002/x", True, False, id="with a path"),
        pytest.param("http://10.0.0.4:5002", True, False, id="not loopback"),
        pytest.param("https://models.contoso.com:8443", False, True, id="https, any port"),
    ],
)
def test_t01_a_resource_elsewhere_must_be_named(address: str, allow_http: bool, fits: bool) -> None:
    """T01: as for endpoints: `[hosts] allow` names it, and http:// is for loopback where the setting says so."""
    allow = '[hosts]\nallow = ["127.0.0.1", "10.0.0.4", "models.contoso.com"]\n'
    text = resource(address).replace(MODEL_KIND, allow + MODEL_KIND).encode()
    if fits:
        assert loader.load(text, allow_http=allow_http).routes["model", "gpt-4.1"].url == address.rstrip("/")
        return
    with pytest.raises(PolicyFaults) as refused:
        loader.load(text, allow_http=allow_http)
    assert [fault.place for fault in refused.value.faults] == [f"{GPT}.url"]


@pytest.mark.parametrize("cloud", ["com", "us", "cn"])
def test_the_inference_hosts_of_every_cloud_are_known(cloud: str) -> None:
    """The public cloud's, US Government's and China's managed endpoints need no entry in `[hosts]`."""
    text = GOOD.replace("azure.com", f"azure.{cloud}")
    assert (
        loader.load(text.encode(), allow_http=False)
        .routes["endpoint", "fraud"]
        .url.endswith(f"azure.{cloud}/score")
    )


def test_a_file_that_cannot_be_read_is_a_fault_of_the_setting(tmp_path: Path) -> None:
    """A missing file, a folder and an impossible path are each one fault at GROUPGATE_POLICY, not an exception of the OS."""
    for path in (tmp_path / "missing.toml", tmp_path, tmp_path / "nul\0"):
        with pytest.raises(PolicyFaults) as refused:
            loader.load_file(path, allow_http=False)
        assert [fault.place for fault in refused.value.faults] == ["GROUPGATE_POLICY"]
        assert "cannot read" in refused.value.faults[0].message
