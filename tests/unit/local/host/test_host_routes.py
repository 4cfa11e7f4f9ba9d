"""Routing as the Functions host does it, on templates alone."""

import pytest

from local.host.routes import PathError, Route, RouteError, Routes

TEMPLATES = (
    "{anything}",
    "endpoints/{name}",
    "endpoints/{name}/score",
    "endpoints/{name}/jobs/{id}",
    "endpoints/special/score",
    "openai/{*rest}",
    "openai/v1/models",
    "Me",
    "optional/{part?}",
    "",
)


@pytest.fixture
def routes() -> Routes[str]:
    """Routes registered with the least specific first."""
    return Routes(Route.parse(template, (), template) for template in TEMPLATES)


@pytest.mark.parametrize(
    ("path", "template", "values"),
    [
        pytest.param("/", "", {}, id="the root"),
        pytest.param("/endpoints/fraud/score", "endpoints/{name}/score", {"name": "fraud"}, id="a parameter"),
        pytest.param(
            "/endpoints/special/score", "endpoints/special/score", {}, id="a literal wins over a parameter"
        ),
        pytest.param(
            "/ENDPOINTS/Special/Score", "endpoints/special/score", {}, id="literals match in any case"
        ),
        pytest.param(
            "/Endpoints/FRAUD/score", "endpoints/{name}/score", {"name": "FRAUD"}, id="values keep their case"
        ),
        pytest.param("/me", "Me", {}, id="a literal wins over a parameter at the root"),
        pytest.param("/me/", "Me", {}, id="one slash at the end counts for nothing"),
        pytest.param("/you", "{anything}", {"anything": "you"}, id="a parameter at the root"),
        pytest.param("/endpoints/a%20b", "endpoints/{name}", {"name": "a b"}, id="percent signs are decoded"),
        pytest.param(
            "/endpoints/a%2520b", "endpoints/{name}", {"name": "a%20b"}, id="percent signs are decoded once"
        ),
        pytest.param(
            "/endpoints/a%2Fscore", "endpoints/{name}", {"name": "a%2Fscore"}, id="%2F separates nothing"
        ),
        pytest.param(
            "/endpoints/a%2fscore", "endpoints/{name}", {"name": "a%2fscore"}, id="%2f separates nothing"
        ),
        pytest.param("/endpoints/%C3%A9", "endpoints/{name}", {"name": "é"}, id="UTF-8 is decoded"),
        pytest.param(
            "/endpoints/%ff", "endpoints/{name}", {"name": "%ff"}, id="what is no UTF-8 stays encoded"
        ),
        pytest.param(
            "/endpoints/a/../special/score", "endpoints/special/score", {}, id="dot segments are removed"
        ),
        pytest.param("/endpoints/%2e%2e/me", "Me", {}, id="encoded dot segments are removed too"),
        pytest.param("/openai/v1/models", "openai/v1/models", {}, id="a literal wins over a catch-all"),
        pytest.param(
            "/openai/v1/chat/x", "openai/{*rest}", {"rest": "v1/chat/x"}, id="a catch-all takes the rest"
        ),
        pytest.param(
            "/openai/v1/", "openai/{*rest}", {"rest": "v1/"}, id="a catch-all takes a slash at the end"
        ),
        pytest.param("/openai", "openai/{*rest}", {}, id="a catch-all takes nothing"),
        pytest.param("/optional", "optional/{part?}", {}, id="an optional parameter left out"),
        pytest.param("/optional/x", "optional/{part?}", {"part": "x"}, id="an optional parameter given"),
    ],
)
def test_path_is_matched_as_the_host_does(
    routes: Routes[str], path: str, template: str, values: dict[str, str]
) -> None:
    """The most specific template wins, whatever the order of registration; values are decoded once."""
    assert routes.find("GET", path) == (template, values)


@pytest.mark.parametrize(
    "path", ["/endpoints/fraud/other", "/endpoints//score", "//", "/a/b/c/d", "*", "/endpoints/fraud/score/x"]
)
def test_unknown_path_is_not_found(routes: Routes[str], path: str) -> None:
    """No template matches: the caller gets a bare 404."""
    assert routes.find("GET", path) is None


def test_method_that_is_not_registered_is_not_found() -> None:
    """A wrong method makes the route not match; a less specific route may then answer."""
    listed = Route.parse("endpoints/{name}", ["post"], "listed")
    assert Routes([listed]).find("GET", "/endpoints/x") is None
    assert Routes([listed]).find("POST", "/endpoints/x") == ("listed", {"name": "x"})
    fallback = Route.parse("{*all}", (), "fallback")
    assert Routes([listed, fallback]).find("GET", "/endpoints/x") == ("fallback", {"all": "endpoints/x"})


def test_null_character_is_refused() -> None:
    """The real server answers 400."""
    with pytest.raises(PathError):
        Routes([Route.parse("{x}", (), "x")]).find("GET", "/a%00b")


@pytest.mark.parametrize("template", ["x/{id:int}", "x/{a}.{b}", "x/{a=1}", "{*all}/x", "{a?}/x", "pre-{a}"])
def test_template_that_the_host_would_serve_differently_is_refused(template: str) -> None:
    """Better no start than another routing than Azure's."""
    with pytest.raises(RouteError, match="route"):
        Route.parse(template, (), "x")
