"""What a push can be told, or can take, of what others have: uploads, blobs by their digests alone, subjects."""

from __future__ import annotations

import pytest

from tests.support.gated import Passwords, Tokens, basic, bearer, gated
from tests.support.serving_here import OCI_MANIFEST, OCTETS, Answer, digest_of, make_manifest

APP = "team/app"
RULES = """
- {allow: push, to: [alice, bob], on: [team/app, team/other]}
- {allow: push, to: mallory, on: team/other}
- {allow: push, to: anyone, on: open}
"""
UNKNOWN = (404, "BLOB_UPLOAD_UNKNOWN")
NO_UPLOAD = "01234567-89ab-cdef-0123-456789abcdef"


@pytest.mark.parametrize(
    ("method", "query", "body"),
    [("GET", "", None), ("PATCH", "", b"xyz"), ("PUT", f"?digest={digest_of(b'abc')}", b""), ("DELETE", "", None)],
)
@pytest.mark.parametrize(("user", "name"), [("bob", "team/app"), ("alice", "team/other"), ("bob", "team/other")])
async def test_an_upload_is_its_users_and_its_repositorys(
    user: str, name: str, method: str, query: str, body: bytes | None
) -> None:
    """To others it looks like one that has never been, and nothing that they try changes it."""
    async with gated(Passwords(), rules=RULES) as here:
        place = (await here.v2.ask("POST", f"/v2/{APP}/blobs/uploads/", basic("alice"))).path
        await here.v2.ask("PATCH", place, {**basic("alice"), **OCTETS}, body=b"abc")
        upload = place.rpartition("/")[2]
        told = []
        for each in (upload, NO_UPLOAD):
            path = f"/v2/{name}/blobs/uploads/{each}"
            answer = await here.v2.ask(method, path + query, {**basic(user), **OCTETS}, body=body)
            assert answer.told == UNKNOWN
            lines = [(key, value) for key, value in answer.head.headers if key.lower() != "date"]
            told.append((answer.status, lines, answer.body.replace(each.encode(), b"UPLOAD")))
        assert told[0] == told[1]
        answer = await here.v2.ask("GET", place, basic("alice"))
        assert (answer.status, answer["Range"]) == (204, "0-2")
        answer = await here.v2.ask("PUT", f"{place}?digest={digest_of(b'abc')}", basic("alice"))
        assert answer.status == 201


async def test_an_upload_that_nobody_with_a_name_has_begun_can_be_gone_on_with_by_all_who_may_push_there() -> None:
    """A client that sends no password before it is asked for one, and is not, goes on with one all the same."""
    async with gated(Passwords(), rules=RULES) as here:
        place = (await here.v2.ask("POST", "/v2/open/blobs/uploads/")).path
        assert (await here.v2.ask("PATCH", place, {**basic("alice"), **OCTETS}, body=b"abc")).status == 202
        assert (await here.v2.ask("PUT", f"{place}?digest={digest_of(b'abc')}", basic("bob"))).status == 201


@pytest.mark.parametrize("query", ["", f"&from={APP}", "&from=team/absent", "&from=library/private"])
async def test_a_mount_takes_only_what_may_be_pulled(query: str) -> None:
    """Named or not: without the right it is an upload, and looks like that of a blob that is nowhere."""
    private, absent = digest_of(b"image layer"), digest_of(b"nobody has this")
    async with gated(Passwords(), rules=RULES) as here:
        await here.open.push_image(APP, "t")
        await here.open.push_image("private", "t")
        await here.open.push_blob(APP, b"image layer")  # it is known to have it
        answers = [
            await here.v2.ask("POST", f"/v2/team/other/blobs/uploads/?mount={digest}{query}", basic("mallory"))
            for digest in (private, absent)
        ]
        assert [_shape(each) for each in answers] == [_shape(answers[0])] * 2
        assert answers[0].status == 202
        assert (await here.v2.ask("HEAD", f"/v2/team/other/blobs/{private}", basic("mallory"))).status == 404
        bob = await here.v2.ask("POST", f"/v2/team/other/blobs/uploads/?mount={private}{query}", basic("bob"))
        assert bob.status == (201 if query in {"", f"&from={APP}"} else 202)


async def test_a_mount_from_anywhere_needs_a_token_that_reaches_there() -> None:
    blob = digest_of(b"image layer")
    target = ["pull:team/other", "push:team/other"]
    known = {"both": ("ci", [*target, f"pull:{APP}"]), "one": ("ci", target)}
    async with gated(Tokens(known)) as here:
        await here.open.push_image(APP, "t")
        await here.open.push_blob(APP, b"image layer")
        path = f"/v2/team/other/blobs/uploads/?mount={blob}"
        assert (await here.v2.ask("POST", path, bearer("one"))).status == 202
        assert (await here.v2.ask("POST", path, bearer("both"))).status == 201


async def test_a_manifest_can_name_only_what_its_own_repository_has() -> None:
    """Else a push would tell whether a digest is anywhere, and then hand it out."""
    async with gated(Passwords(), rules=RULES) as here:
        await here.open.push_image(APP, "t")
        for blob in (b"image layer", b"nobody has this"):
            await here.v2.ask(
                "POST", f"/v2/team/other/blobs/uploads/?digest={digest_of(b'c')}", basic("mallory"), body=b"c"
            )
            path = "/v2/team/other/manifests/t"
            headers = {**basic("mallory"), "Content-Type": OCI_MANIFEST}
            answer = await here.v2.ask("PUT", path, headers, body=make_manifest(b"c", blob))
            assert answer.told == (400, "MANIFEST_BLOB_UNKNOWN")
            assert [each["detail"] for each in answer.json["errors"]] == [digest_of(blob)]


async def test_a_subject_elsewhere_is_as_good_as_none() -> None:
    """Referrers are of one repository: a push does not say whether the subject is elsewhere, nor a list who refers."""
    async with gated(Passwords(), rules=RULES) as here:
        subject = await here.open.push_image(APP, "t")
        bodies = []
        for refers_to in (subject, b"nobody has this"):
            described = {"mediaType": OCI_MANIFEST, "digest": digest_of(refers_to), "size": len(subject)}
            for blob in (b"c", b"l"):
                path = f"/v2/team/other/blobs/uploads/?digest={digest_of(blob)}"
                assert (await here.v2.ask("POST", path, basic("mallory"), body=blob)).status == 201
            manifest = make_manifest(b"c", b"l", subject=described)
            path = f"/v2/team/other/manifests/{digest_of(manifest)}"
            headers = {**basic("mallory"), "Content-Type": OCI_MANIFEST}
            answer = await here.v2.ask("PUT", path, headers, body=manifest)
            assert (answer.status, answer["OCI-Subject"]) == (201, digest_of(refers_to))
            bodies.append((answer.status, sorted(key for key, _ in answer.head.headers)))
        assert bodies[0] == bodies[1]
        listed = await here.v2.ask("GET", f"/v2/{APP}/referrers/{digest_of(subject)}", basic("bob"))
        assert listed.json["manifests"] == []


def _shape(answer: Answer) -> tuple[int, list[str], bytes]:
    return answer.status, sorted(key.lower() for key, _ in answer.head.headers), answer.body
