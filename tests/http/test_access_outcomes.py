"""What becomes of a request by who sends it: every outcome, over real sockets, for both protocols."""

from __future__ import annotations

import gc
import logging

import pytest
from aiohttp.web import BaseRequest
from typing_extensions import override

from backends.auth.schemes import Failure
from backends.auth.silly import Silly
from backends.storage.driver import FileInfo, StorageDriver
from backends.storage.factory import open_memory
from backends.web.settings import GateSettings
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.gated import PASSWORD, Gated, Passwords, Tokens, basic, bearer, gated
from tests.support.serving_here import OCI_MANIFEST, Answer, digest_of
from tests.support.v1server import make_pushed

APP = "team/app"
ABSENT = "team/not"
SECRET = "not the right one"
ANYBODY = "- {allow: [push, delete], to: anyone}"
RULES = f"""
- {{allow: pull, to: reader, on: {APP}}}
- {{allow: push, to: writer, on: [{APP}, x]}}
- {{allow: delete, to: sweeper, on: {APP}}}
"""


class Counted:
    """What was counted."""

    def __init__(self) -> None:
        self.logins: list[str] = []
        self.failures: list[tuple[str, Failure]] = []

    def logged_in(self, scheme: str) -> None:
        self.logins.append(scheme)

    def failed(self, scheme: str, failure: Failure) -> None:
        self.failures.append((scheme, failure))


def told(answer: Answer) -> tuple[int, list[str]]:
    """Status and challenges, but for the one that v1 has besides."""
    return answer.status, [each for each in answer.head.values("WWW-Authenticate") if each != "Token"]


@pytest.mark.parametrize("path", ["/v2/", f"/v2/{APP}/manifests/t", f"/v2/{ABSENT}/manifests/t", "/v2/_catalog"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_nobody_is_asked_for_credentials_whether_the_thing_is_there_or_not(path: str, method: str) -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await here.open.push_image(APP, "t")
        answer = await here.v2.ask(method, path)
        assert told(answer) == (401, ['Basic realm="here"'])
        assert answer["Docker-Distribution-Api-Version"] == "registry/2.0"


async def test_the_body_of_a_401_is_distributions() -> None:
    async with gated(Passwords()) as here:
        answer = await here.v2.ask("GET", "/v2/")
        assert answer.body == (
            b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":null}]}\n'
        )
        answer = await here.v2.ask("PUT", "/v2/a/manifests/x")
        assert answer.body == (
            b'{"errors":[{"code":"UNAUTHORIZED","message":"authentication required","detail":['
            b'{"Type":"repository","Class":"","Name":"a","Action":"pull"},'
            b'{"Type":"repository","Class":"","Name":"a","Action":"push"}]}]}\n'
        )
        answer = await here.v1.ask("GET", "/v1/repositories/a/images")
        assert (answer.status, answer.body) == (401, b'{"error": "Requires authorization"}')


@pytest.mark.parametrize("rules", ["", "- {allow: pull, to: anyone}"])
async def test_requests_are_freed_without_a_garbage_collector(rules: str) -> None:
    """Whatever a request carries of its caller's rights must not lead back to it."""
    async with gated(Passwords(), rules=rules) as here:
        await here.open.push_image(APP, "t")
        gc.collect()
        gc.disable()
        try:
            for headers in (basic("reader"), {}) if rules else (basic("reader"),):
                for _ in range(40):
                    answer = await here.v2.ask("GET", f"/v2/{APP}/manifests/t", headers=headers)
                    assert answer.status == 200
            assert sum(isinstance(each, BaseRequest) for each in gc.get_objects()) < 20
        finally:
            gc.enable()


async def test_each_scheme_has_a_challenge_of_its_own() -> None:
    async with gated(Tokens(), Passwords()) as here:
        answer = await here.v2.ask("GET", f"/v2/{APP}/tags/list")
        assert told(answer) == (
            401,
            [f'Bearer realm="https://tokens",service="s",scope="repository:{APP}:pull"', 'Basic realm="here"'],
        )


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v2/", ""),
        ("GET", "/v2/_catalog", "registry:catalog:*"),
        ("PUT", f"/v2/{APP}/manifests/t", f"repository:{APP}:pull,push"),
        ("DELETE", f"/v2/{APP}/manifests/t", f"repository:{APP}:delete"),
        # by the name that the client used: it is this one that its token must have
        ("GET", "/v2/library/x/tags/list", "repository:library/x:pull"),
        (
            "POST",
            f"/v2/{APP}/blobs/uploads/?mount={digest_of(b'')}&from=library/x",
            f"repository:{APP}:pull,push repository:library/x:pull",
        ),
        ("GET", "/v1/search?q=a", "registry:catalog:*"),
        ("PUT", f"/v1/repositories/{APP}/", f"repository:{APP}:pull,push"),
        ("GET", "/v1/repositories/library/x/tags", "repository:x:pull"),
    ],
)
async def test_a_challenge_names_all_that_the_request_needs(method: str, path: str, scope: str) -> None:
    async with gated(Tokens()) as here:
        answer = await here.client(path[1:3]).ask(method, path)
        assert told(answer) == (401, [f'Bearer realm="https://tokens",service="s",scope="{scope}"'])


@pytest.mark.parametrize(
    ("headers", "failure", "scheme"),
    [
        (basic("reader", SECRET), Failure.PASSWORD, "htpasswd"),
        (bearer("nonsense"), Failure.NOT_TAKEN, ""),
        ({"Authorization": f"Basic {SECRET}"}, Failure.MALFORMED, ""),
        ({"Authorization": f"Digest {SECRET}"}, Failure.MALFORMED, ""),
    ],
)
@pytest.mark.parametrize("path", ["/v2/", f"/v2/{APP}/manifests/t", "/v1/users/", f"/v1/repositories/{APP}/tags"])
async def test_wrong_credentials_are_refused_logged_and_counted(
    headers: dict[str, str], failure: Failure, scheme: str, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    counted = Counted()
    async with gated(Passwords(), rules=ANYBODY, observer=counted) as here:
        answer = await here.client(path[1:3]).ask("GET", path, headers)
        assert told(answer) == (401, ['Basic realm="here"'])
    assert counted.failures == [(scheme, failure)]
    (line,) = [each for each in caplog.messages if "wrong credentials" in each]
    assert "127.0.0.1" in line
    assert (scheme or "no scheme") in line
    assert SECRET not in caplog.text
    assert ("for reader" in line) == (failure is Failure.PASSWORD)


async def test_what_is_open_stays_open_for_wrong_credentials_too() -> None:
    async with gated(Passwords()) as here:
        for path in ("/v1/_ping", "/_ping", "/"):
            for headers in ({}, basic("reader", SECRET)):
                assert (await here.v1.ask("GET", path, headers)).status == 200
        assert (await here.v2.ask("GET", "/")).status == 200


async def test_an_old_client_that_has_never_logged_in_is_nobody_and_no_wrong_password() -> None:
    counted = Counted()
    async with gated(Passwords(), rules=ANYBODY, observer=counted) as here:
        await here.open.push_image(APP, "t")
        answer = await here.v2.ask("GET", f"/v2/{APP}/manifests/t", {"Authorization": "Basic Og=="})
        assert answer.status == 200
    assert counted.failures == []


async def test_without_a_rules_file_everybody_with_a_password_may_do_everything() -> None:
    async with gated(Passwords()) as here:
        await here.open.push_image(APP, "t", "u")
        alice = basic("alice")
        assert (await here.v2.ask("GET", "/v2/", alice)).status == 200
        manifest = (await here.v2.ask("GET", f"/v2/{APP}/manifests/t", alice)).body
        put = await here.v2.ask("PUT", f"/v2/{APP}/manifests/v", {**alice, "Content-Type": OCI_MANIFEST}, body=manifest)
        assert put.status == 201
        assert (await here.v2.ask("DELETE", f"/v2/{APP}/manifests/u", alice)).status == 202
        assert (await here.v2.ask("GET", "/v2/_catalog", alice)).json == {"repositories": [APP]}
        assert (await here.v1.ask("GET", "/v1/search?q=app", alice)).json["num_results"] == 1


async def _reading(here: Gated, name: str, user: str, manifest: bytes) -> list[tuple[int, list[str], bytes]]:
    """What a user is told who reads a repository in every way."""
    found = []
    ways = [
        ("GET", f"/v2/{name}/manifests/t"),
        ("HEAD", f"/v2/{name}/manifests/t"),
        ("GET", f"/v2/{name}/manifests/{digest_of(manifest)}"),
        ("GET", f"/v2/{name}/blobs/{digest_of(b'image layer')}"),
        ("HEAD", f"/v2/{name}/blobs/{digest_of(b'image layer')}"),
        ("GET", f"/v2/{name}/tags/list"),
        ("GET", f"/v2/{name}/referrers/{digest_of(manifest)}"),
        ("DELETE", f"/v2/{name}/manifests/{digest_of(manifest)}"),
        ("DELETE", f"/v2/{name}/blobs/{digest_of(b'image layer')}"),
        ("DELETE", f"/v2/{name}/_portside/repository"),
        ("GET", f"/v1/repositories/{name}/images"),
        ("GET", f"/v1/repositories/{name}/tags"),
        ("GET", f"/v1/repositories/{name}/tags/t"),
        ("GET", f"/v1/repositories/{name}/json"),
        ("DELETE", f"/v1/repositories/{name}/tags/t"),
        ("DELETE", f"/v1/repositories/{name}/"),
    ]
    for method, path in ways:
        answer = await here.client(path[1:3]).ask(method, path, basic(user))
        names = sorted(key.lower() for key, _ in answer.head.headers)
        found.append((answer.status, names, answer.body.replace(name.encode(), b"NAME")))
    return found


async def test_what_somebody_may_not_pull_looks_like_what_is_not_there() -> None:
    """Byte for byte, in every way of asking; and a repository that is not there looks so to everybody."""
    async with gated(Passwords(), rules="- {allow: [push, delete], to: owner}") as here:
        manifest = await here.open.push_image(APP, "t")
        hidden = await _reading(here, APP, "reader", manifest)
        absent = await _reading(here, ABSENT, "reader", manifest)
        really_absent = await _reading(here, ABSENT, "owner", manifest)
        there = await _reading(here, APP, "owner", manifest)
    assert hidden == absent == really_absent
    assert [status for status, *_ in there] != [status for status, *_ in hidden]
    assert {status for status, *_ in hidden} <= {200, 204, 404}  # v1 lists nothing, and deletes what is not there


@pytest.mark.parametrize(
    ("user", "method", "path", "status"),
    [
        ("reader", "PUT", f"/v2/{APP}/manifests/u", 403),
        ("reader", "POST", f"/v2/{APP}/blobs/uploads/", 403),
        ("reader", "DELETE", f"/v2/{APP}/manifests/t", 403),
        ("reader", "DELETE", f"/v2/{APP}/_portside/repository", 403),
        # a push says nothing of what is there
        ("stranger", "PUT", f"/v2/{APP}/manifests/u", 403),
        ("stranger", "PUT", f"/v2/{ABSENT}/manifests/u", 403),
        # to delete without pulling is allowed where a rule says so
        ("sweeper", "DELETE", f"/v2/{APP}/manifests/t", 202),
        ("sweeper", "GET", f"/v2/{APP}/manifests/t", 404),
        ("stranger", "DELETE", f"/v2/{APP}/manifests/t", 404),
        ("reader", "PUT", f"/v1/repositories/{APP}/", 403),
        ("reader", "DELETE", f"/v1/repositories/{APP}/tags/t", 403),
        ("reader", "DELETE", f"/v1/repositories/{APP}/images", 403),
        ("stranger", "DELETE", f"/v1/repositories/{APP}/tags/t", 404),
        ("writer", "POST", "/v2/x/blobs/uploads/", 202),
        ("writer", "POST", "/v2/library/x/blobs/uploads/", 202),
        ("reader", "POST", "/v2/library/x/blobs/uploads/", 403),
    ],
)
async def test_what_somebody_may_not_change_is_denied(user: str, method: str, path: str, status: int) -> None:
    async with gated(Passwords(), rules=RULES) as here:
        await here.open.push_image(APP, "t")
        answer = await here.client(path[1:3]).ask(method, path, basic(user))
        assert answer.status == status, answer
        if status == 403:
            action = "delete" if method == "DELETE" else "push"
            name = APP if APP in path else ABSENT if ABSENT in path else "x"
            sentence = answer.json["error"] if path.startswith("/v1") else answer.json["errors"][0]["message"]
            assert sentence.startswith(f"{user} may not {action} {name}")
            assert f"portside access explain {user} {action} {name}" in sentence
        assert answer.head.values("WWW-Authenticate") == []


async def test_a_token_that_does_not_reach_so_far_is_told_what_would() -> None:
    counted = Counted()
    known = {"abc": ("ci", [f"pull:{APP}"]), "anonymous": ("", [f"pull:{APP}"]), "push": ("ci", [f"push:{APP}"])}
    challenge = 'Bearer realm="https://tokens",service="s",scope="{}",error="insufficient_scope"'
    async with gated(Tokens(known), observer=counted) as here:
        await here.open.push_image(APP, "t")
        for token in ("abc", "anonymous"):
            assert (await here.v2.ask("GET", "/v2/", bearer(token))).status == 200
            assert (await here.v2.ask("GET", f"/v2/{APP}/manifests/t", bearer(token))).status == 200
            answer = await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/", bearer(token))
            assert told(answer) == (401, [challenge.format(f"repository:{APP}:pull,push")])
            for name in (APP, ABSENT):
                answer = await here.v2.ask("GET", f"/v2/{name}/manifests/t", bearer("push"))
                assert told(answer) == (401, [challenge.format(f"repository:{name}:pull")])
            answer = await here.v2.ask("GET", "/v2/_catalog", bearer(token))
            assert told(answer) == (401, [challenge.format("registry:catalog:*")])
        # whoever pushes reads too
        answer = await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/", bearer("push"))
        assert told(answer)[0] == 401
        wrong = await here.v2.ask("GET", f"/v2/{APP}/manifests/t", bearer("forged"))
        assert 'error="invalid_token"' in told(wrong)[1][0]
    assert {failure for _, failure in counted.failures} == {Failure.SCOPE, Failure.TOKEN}


async def test_a_mount_needs_the_right_to_pull_its_source_and_becomes_an_upload_without() -> None:
    blob = digest_of(b"image layer")
    rules = "[{allow: push, to: both}, {allow: push, to: one, on: target}]"
    async with gated(Passwords(), rules=rules) as here:
        await here.open.push_image(APP, "t")
        path = f"/v2/target/blobs/uploads/?mount={blob}&from={APP}"
        assert (await here.v2.ask("POST", path, basic("one"))).status == 202
        assert (await here.v2.ask("POST", path, basic("both"))).status == 201


async def test_who_cannot_be_checked_now_is_asked_to_come_again() -> None:
    counted = Counted()
    async with gated(Passwords(), observer=counted) as here:
        answer = await here.v2.ask("GET", "/v2/", basic("busy"))
        assert (answer.status, answer["Retry-After"]) == (429, "7")
        assert answer.json["errors"][0]["code"] == "TOOMANYREQUESTS"
        answer = await here.v1.ask("GET", "/v1/users/", basic("busy"))
        assert (answer.status, answer["Retry-After"]) == (429, "7")
    assert counted.failures == [("htpasswd", Failure.BUSY)] * 2


async def test_access_is_asked_before_what_the_registry_as_a_whole_refuses() -> None:
    async with gated(Passwords(), rules=RULES, gates=GateSettings(read_only=True)) as here:
        path = f"/v2/{APP}/manifests/t"
        assert (await here.v2.ask("DELETE", path)).status == 401
        assert (await here.v2.ask("PUT", path, basic("reader"))).status == 403
        assert (await here.v2.ask("PUT", path, basic("writer"))).status == 405


async def test_logins_and_refusals_leave_a_line_each(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    counted = Counted()
    agent = {"User-Agent": "docker/24.0.7"}
    async with gated(Passwords(), rules=RULES, observer=counted) as here:
        await here.v2.ask("GET", "/v2/", agent)
        await here.v2.ask("GET", "/v2/", basic("reader") | agent)
        await here.v2.ask("GET", f"/v2/{APP}/tags/list", basic("reader") | agent)
        await here.v2.ask("PUT", f"/v2/{APP}/manifests/t", basic("reader") | agent)
        await here.v2.ask("GET", "/v2/x/tags/list", basic("reader") | agent)
        await here.v2.ask("GET", "/v2/x/tags/list", agent)
        await here.v1.ask("GET", "/v1/users/", basic("writer") | agent)
    lines = [record.getMessage() for record in caplog.records if record.name == "portside.auth"]
    assert lines == [
        "reader at 127.0.0.1 logged in (htpasswd, docker/24.0.7)",
        f"reader at 127.0.0.1 was refused to push {APP}: no rule allows reader to push {APP} (htpasswd, docker/24.0.7)",
        "reader at 127.0.0.1 was refused to pull x: no rule allows reader to pull x (htpasswd, docker/24.0.7)",
        "somebody without a name at 127.0.0.1 was refused to pull x: it needs credentials (none, docker/24.0.7)",
        "writer at 127.0.0.1 logged in (htpasswd, docker/24.0.7)",
    ]
    assert counted.logins == ["htpasswd", "htpasswd"]
    assert counted.failures == [("htpasswd", Failure.DENIED), ("htpasswd", Failure.DENIED), ("none", Failure.ANONYMOUS)]


async def test_a_change_names_its_user_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with gated(Passwords()) as here:
        await here.open.push_image(APP, "t")
        await here.v2.ask("DELETE", f"/v2/{APP}/manifests/t", basic("alice"))
    assert any("alice at 127.0.0.1" in line and "tag t" in line for line in caplog.messages)


async def test_rules_without_any_scheme_refuse_without_asking_for_what_nobody_takes() -> None:
    async with gated(rules="- {allow: pull, to: anyone}") as here:
        await here.open.push_image(APP, "t")
        assert (await here.v2.ask("GET", "/v2/")).status == 200
        assert (await here.v2.ask("GET", f"/v2/{APP}/manifests/t")).status == 200
        answer = await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/")
        assert told(answer) == (403, [])


async def test_silly_is_distributions() -> None:
    """As docker-registry 2.8.2 and 3.1.2 answer with the same settings."""
    challenge = 'Bearer realm="http://realm.example/t",service="svc"'
    async with gated(Silly("http://realm.example/t", "svc")) as here:
        await here.open.push_image(APP, "t")
        for method, path, scope in (
            ("GET", "/v2/", ""),
            ("GET", "/v2/a/b/tags/list", ',scope="repository:a/b:pull"'),
            ("PUT", "/v2/a/manifests/x", ',scope="repository:a:pull repository:a:push"'),
            ("DELETE", "/v2/a/manifests/x", ',scope="repository:a:delete"'),
            ("GET", "/v2/_catalog", ',scope="registry:catalog:*"'),
        ):
            assert told(await here.v2.ask(method, path)) == (401, [challenge + scope])
        for value in ("foo", "Bearer x", "Basic Zm9v", f"Basic {PASSWORD}"):
            assert (await here.v2.ask("GET", f"/v2/{APP}/tags/list", {"Authorization": value})).status == 200


class StatsCounted(ForwardingDriver):
    """Counts what is looked at."""

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.looks = 0

    @override
    async def stat(self, path: str) -> FileInfo:
        self.looks += 1
        return await super().stat(path)


async def test_who_shows_nothing_and_asks_for_an_image_that_is_not_there_has_no_repository_looked_at() -> None:
    """However many there are: else anybody could have thousands looked at by each request."""
    storage, counted = wrapped(open_memory(), StatsCounted)
    image = make_pushed("a")
    async with gated(Passwords(), rules="- {allow: pull, to: anyone}", storage=storage) as here:
        for path, body, headers in (
            ("json", image.json, {}),
            ("layer", image.layer, {}),
            ("checksum", b"", {"X-Docker-Checksum-Payload": image.payload}),
        ):
            assert (await here.open_v1.ask("PUT", f"/v1/images/{image.id}/{path}", headers, body=body)).status == 200
        for number in range(100):
            path = f"/v1/repositories/team/r{number}/tags/t"
            assert (await here.open_v1.ask("PUT", path, body=f'"{image.id}"'.encode())).status == 200
        before = counted.looks
        for letter in "bcd":
            assert (await here.v1.ask("GET", f"/v1/images/{letter * 64}/json")).status == 401
        assert counted.looks - before < 30
        assert (await here.v1.ask("GET", f"/v1/images/{image.id}/json")).status == 200


@pytest.mark.parametrize(("user", "called"), [("alice", "alice"), ("ci: $(id); x", "'ci: $(id); x'"), ("", "-")])
async def test_the_command_that_explains_a_refusal_can_be_pasted_whatever_the_user_is_called(
    user: str, called: str
) -> None:
    tokens = Tokens({"one": (user, [f"pull:{APP}", f"push:{APP}"])})
    async with gated(tokens, rules="- {allow: pull, to: nobody.at.all}") as here:
        answer = await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/", bearer("one"))
    assert answer.status == 403
    assert answer.json["errors"][0]["message"].endswith(f"with portside access explain {called} push {APP}")
