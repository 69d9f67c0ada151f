"""Requests that are signed for `gateway.v1.privilegedkey`, in docker-registry's form: they need no token."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from backends.auth.followed_file import UnusableFile
from backends.auth.request_signatures import SignatureScheme
from backends.auth.rules_text import parse_rules
from tests.support.index_mode import MINE, BesideIndex, beside_index
from tests.support.small_index import SmallIndex
from tests.support.v1server import make_pushed

KEY = rsa.generate_private_key(65537, 2048)
ANOTHER = rsa.generate_private_key(65537, 2048)
IMAGE = make_pushed("a", layer=b"a layer")
OTHER = make_pushed("b", layer=b"another layer")
NAMED = {"Authorization": f'Token repository="{MINE}"'}
TAGS = f"/v1/repositories/{MINE}/tags"


def pem(key: rsa.RSAPrivateKey, kind: serialization.PublicFormat = serialization.PublicFormat.PKCS1) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, kind)


def signed(message: str, key: rsa.RSAPrivateKey = KEY) -> str:
    return base64.b64encode(key.sign(message.encode(), padding.PKCS1v15(), hashes.SHA1())).decode()


def shown(message: str, key: rsa.RSAPrivateKey = KEY) -> dict[str, str]:
    return {"X-Signature": f"data={signed(message, key)}"}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[BesideIndex]:
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    async with beside_index(SmallIndex(), key=tmp_path / "key.pem") as running:
        yield running


@pytest.mark.parametrize("kind", [serialization.PublicFormat.PKCS1, serialization.PublicFormat.SubjectPublicKeyInfo])
async def test_a_signed_request_needs_no_token_and_the_index_is_not_asked(
    tmp_path: Path, kind: serialization.PublicFormat
) -> None:
    (tmp_path / "key.pem").write_bytes(pem(KEY, kind))
    async with beside_index(SmallIndex(), key=tmp_path / "key.pem") as here:
        await here.push(MINE, IMAGE)
        here.index.asked.clear()
        for method in ("GET", "HEAD"):
            answer = await here.ask(method, TAGS, shown(f"{method},{TAGS}"))
            assert answer.status == 200
        for part in ("json", "layer", "ancestry"):
            path = f"/v1/images/{IMAGE.id}/{part}"
            assert (await here.ask("GET", path, shown(f"GET,{path}"))).status == 200
        assert here.index.asked == []


async def test_a_push_names_its_repository_and_private_images_are_read(here: BesideIndex) -> None:
    for part, more, body in (
        ("json", {}, IMAGE.json),
        ("layer", {}, IMAGE.layer),
        ("checksum", {"X-Docker-Checksum-Payload": IMAGE.payload}, b""),
    ):
        path = f"/v1/images/{IMAGE.id}/{part}"
        message = ",".join(["PUT", path, *(f"{name}:{value}" for name, value in more.items())])
        unnamed = await here.ask("PUT", path, {**shown(message), **more}, body)
        assert unnamed.status == 403
        assert "names its repository" in unnamed.json["error"]
        answer = await here.ask("PUT", path, {**shown(message), **NAMED, **more}, body)
        assert answer.status == 200, answer
    path, tag = f"{TAGS}/t", json.dumps(IMAGE.id).encode()
    assert (await here.ask("PUT", path, shown(f"PUT,{path}"), tag)).status == 200
    path = f"/v1/repositories/{MINE}/properties"
    assert (await here.ask("PUT", path, shown(f"PUT,{path}"), b'{"access": "private"}')).status == 200
    path = f"/v1/images/{IMAGE.id}/layer"
    assert (await here.ask("GET", path, shown(f"GET,{path}"))).body == IMAGE.layer
    assert here.index.asked == []
    path = f"/v1/repositories/{MINE}/"
    assert (await here.ask("DELETE", path, shown(f"DELETE,{path}"))).status == 200


async def test_the_headers_of_docker_are_signed_in_the_order_of_their_names(here: BesideIndex) -> None:
    await here.push(MINE, IMAGE)
    for more, written in (
        ({"X-Docker-Token": "true", "X-Docker-Endpoints": "a,b"}, "X-Docker-Endpoints:a,b,X-Docker-Token:true"),
        ({"x-docker-zz": "1", "X-DOCKER-AA": "2", "X-Dockers": "3"}, "X-Docker-Aa:2,X-Docker-Zz:1,X-Dockers:3"),
    ):
        assert (await here.ask("GET", TAGS, {**more, **shown(f"GET,{TAGS},{written}")})).status == 200
        assert (await here.ask("GET", TAGS, {**more, **shown(f"GET,{TAGS}")})).status == 401
    path = f"{TAGS}/a%20b?x=1"
    answer = await here.ask("GET", path, shown(f"GET,{TAGS}/a b"))
    assert (answer.status, answer.json) == (404, {"error": "Tag not found"})


GOOD = signed(f"GET,{TAGS}")
WRONG: Mapping[str, str] = {
    "another key": f"data={signed(f'GET,{TAGS}', ANOTHER)}",
    "another method": f"data={signed(f'PUT,{TAGS}')}",
    "another path": f"data={signed(f'GET,{TAGS}/x')}",
    "nothing": "",
    "no name": GOOD,
    "another name": f"sig={GOOD}",
    "twice": f"data={GOOD};data={GOOD}",
    "not base64": f"data=!{GOOD}",
    "cut": f"data={GOOD[:-8]}",
    "longer": f"data={GOOD}{'A' * 5000}",
    "empty": "data=",
}


@pytest.mark.parametrize("signature", WRONG.values(), ids=WRONG)
async def test_any_other_signature_is_none_and_the_token_counts(here: BesideIndex, signature: str) -> None:
    await here.push(MINE, IMAGE)
    answer = await here.ask("GET", TAGS, {"X-Signature": signature})
    assert (answer.status, answer.json) == (401, {"error": "Requires authorization"})
    assert (await here.ask("GET", TAGS, {"X-Signature": signature, **here.may("read")})).status == 200


async def test_a_signature_may_stand_beside_other_parts_and_a_token_that_is_not_good(here: BesideIndex) -> None:
    await here.push(MINE, IMAGE)
    headers = {"X-Signature": f"keyid=1; data={GOOD} ;x=y", "Authorization": f'Token repository="{MINE}"'}
    assert (await here.ask("GET", TAGS, headers)).status == 200
    headers["Authorization"] = 'Token repository="team/other"'
    assert (await here.ask("GET", TAGS, headers)).status == 401


async def test_without_the_setting_a_signature_is_nothing() -> None:
    async with beside_index(SmallIndex()) as here:
        assert (await here.ask("GET", TAGS, shown(f"GET,{TAGS}"))).status == 401


async def test_rules_hold_for_who_signs_too(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(pem(KEY))
    rules = parse_rules("- {allow: [push, delete], to: v1:index}\n- {allow: pull, to: v1:privileged, on: team/*}\n")
    async with beside_index(SmallIndex(), key=tmp_path / "key.pem", rules=lambda: rules) as here:
        await here.push(MINE, IMAGE)
        await here.push("else/where", OTHER)
        assert (await here.ask("GET", TAGS, shown(f"GET,{TAGS}"))).status == 200
        path = "/v1/repositories/else/where/tags"
        assert (await here.ask("GET", path, shown(f"GET,{path}"))).status == 404
        for image, status in ((IMAGE, 200), (OTHER, 404)):
            path = f"/v1/images/{image.id}/layer"
            assert (await here.ask("GET", path, shown(f"GET,{path}"))).status == status
        path = f"/v1/repositories/{MINE}/properties"
        assert (await here.ask("PUT", path, shown(f"PUT,{path}"), b'{"access": "private"}')).status == 403


@pytest.mark.parametrize("content", ["", "no key", "short", "ec", "private"])
def test_a_file_without_such_a_key_is_refused(tmp_path: Path, content: str) -> None:
    contents = {
        "short": pem(rsa.generate_private_key(65537, 1024)),
        "ec": ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        "private": KEY.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
    }
    path = tmp_path / "key.pem"
    path.write_bytes(contents.get(content, content.encode()))
    with pytest.raises(UnusableFile, match=r"gateway\.v1\.privilegedkey"):
        SignatureScheme(path)
    with pytest.raises(UnusableFile, match=r"gateway\.v1\.privilegedkey"):
        SignatureScheme(tmp_path / "absent.pem")
