"""What an event says, in the letter of both of distribution's releases."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.actor import Actor
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.events import (
    Conversion,
    Event,
    EventAction,
    Form,
    Source,
    Target,
    blob_target,
    manifest_target,
    references_of,
)
from backends.model.manifests import parse_manifest, parse_stored_manifest
from backends.model.media_types import MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST, V1_IMAGE
from backends.model.names import ImageId, RepositoryName
from backends.model.targets import V1Target, V2Target
from backends.registry.events import rfc3339
from tests.support.serving_here import describe, make_manifest

NAME = RepositoryName("team/app")
DIGEST = Digest.of(b"some content")
HTTPS = "https://registry.example"
ACTOR = Actor("", "192.0.2.7", "docker/28.0.0", "a-request", 51234, "PUT", "registry.example", HTTPS)
SOURCE = Source("node1:5000", "an-instance")
BLOB = {"mediaType": "application/octet-stream", "digest": str(DIGEST), "size": 12, "length": 12}
BLOB_URL = f"{HTTPS}/v2/team/app/blobs/{DIGEST}"


def event(target: Target, action: EventAction = EventAction.PUSH, actor: Actor = ACTOR) -> Event:
    return Event("an-event", "2026-11-27T10:00:00.5Z", action, target, actor, SOURCE)


def said(target: Target, form: Form) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(event(target).to_json(form))["target"]
    return found


def test_an_event_says_who_did_what_to_what_by_which_request_and_who_tells_it() -> None:
    assert json.loads(event(blob_target(NAME, DIGEST, 12, origin=HTTPS)).to_json()) == {
        "id": "an-event",
        "timestamp": "2026-11-27T10:00:00.5Z",
        "action": "push",
        "target": {**BLOB, "repository": "team/app", "url": BLOB_URL},
        "request": {
            "id": "a-request",
            "addr": "192.0.2.7:51234",
            "host": "registry.example",
            "method": "PUT",
            "useragent": "docker/28.0.0",
        },
        "actor": {},
        "source": {"addr": "node1:5000", "instanceID": "an-instance"},
    }


@pytest.mark.parametrize("action", EventAction)
def test_an_event_says_its_action(action: EventAction) -> None:
    assert json.loads(event(Target(tag="1"), action).to_json())["action"] == action.value


@pytest.mark.parametrize(
    ("actor", "addr"),
    [
        (replace(ACTOR, address="2001:db8::7"), "[2001:db8::7]:51234"),
        (replace(ACTOR, port=0), "192.0.2.7"),
        (replace(ACTOR, port=0, address="2001:db8::7"), "2001:db8::7"),
        (replace(ACTOR, port=0, address="unix"), "unix"),
    ],
)
def test_the_client_is_named_with_its_port_where_that_is_known(actor: Actor, addr: str) -> None:
    assert json.loads(event(Target(tag="1"), actor=actor).to_json())["request"]["addr"] == addr


def test_what_is_not_known_of_request_and_actor_is_left_out_as_in_distribution() -> None:
    found = json.loads(Event("1", "t", EventAction.PULL, Target(), Actor("eve", "", "", "r"), Source()).to_json())
    assert found["request"] == {"id": "r", "method": "", "useragent": ""}
    assert found["actor"] == {"name": "eve"}
    assert found["source"] == {}


EMPTY = {"mediaType": "", "digest": "", "size": 0}


@pytest.mark.parametrize(
    ("target", "v1", "v2"),
    [
        (Target(repository="a", tag="1"), {"repository": "a", "tag": "1"}, EMPTY),
        (Target(repository="a", digest=DIGEST), {"repository": "a", "digest": str(DIGEST)}, EMPTY),
        (Target(repository="a"), {"repository": "a"}, EMPTY),
        (
            blob_target(NAME, DIGEST, 0, origin=""),
            {
                "mediaType": "application/octet-stream",
                "digest": str(DIGEST),
                "repository": "team/app",
                "url": f"/v2/team/app/blobs/{DIGEST}",
            },
            {"size": 0},
        ),
        (
            blob_target(NAME, DIGEST, 12, from_repository=RepositoryName("b"), origin=HTTPS),
            {**BLOB, "repository": "team/app", "fromRepository": "b", "url": BLOB_URL},
            {},
        ),
        (
            manifest_target(NAME, DIGEST, 12, media_type=OCI_MANIFEST, tag="1", origin=HTTPS),
            {
                **BLOB,
                "mediaType": OCI_MANIFEST,
                "repository": "team/app",
                "url": f"{HTTPS}/v2/team/app/manifests/{DIGEST}",
                "tag": "1",
            },
            {},
        ),
    ],
)
def test_what_is_empty_is_left_out_by_one_release_and_there_in_the_other(
    target: Target, v1: dict[str, Any], v2: dict[str, Any]
) -> None:
    """Args: v1: all that 2.x says; v2: what 3.x says beyond it."""
    assert said(target, Form.V1) == v1
    assert said(target, Form.V2) == {**v2, **v1}


def test_v1_says_so_in_a_field_of_ours_and_v2_does_not() -> None:
    target = Target(media_type=V1_IMAGE, repository="app", tag="1", v1=True, image_id=ImageId("ab" * 32))
    assert json.loads(event(target).to_json())["portside"] == {"generation": "v1", "imageID": "ab" * 32}
    assert json.loads(event(Target(v1=True)).to_json())["portside"] == {"generation": "v1"}
    assert "portside" not in json.loads(event(Target(tag="1")).to_json())


@pytest.mark.parametrize(
    ("source", "named"),
    [
        (V1Target(ImageId("ab" * 32)), {"imageID": "ab" * 32}),
        (V2Target(DIGEST), {"digest": str(DIGEST)}),
    ],
)
def test_of_what_was_converted_it_is_said_from_what_and_how(source: V1Target | V2Target, named: dict[str, str]) -> None:
    conversion = Conversion(source, V1_IMAGE, "v1-to-schema2")
    target = manifest_target(NAME, DIGEST, 12, media_type=OCI_MANIFEST, conversion=conversion, origin=HTTPS)
    found = json.loads(event(target, EventAction.PULL).to_json())
    assert found["portside"] == {"conversion": {"mediaType": V1_IMAGE, **named, "rule": "v1-to-schema2"}}
    assert found["target"]["mediaType"] == OCI_MANIFEST


LAYER = describe(b"layer", "application/vnd.oci.image.layer.v1.tar+gzip")
PLATFORM = {"architecture": "arm", "os": "linux", "variant": "v7", "os.version": "1", "os.features": ["a"]}
ENTRY = {**describe(b"entry", OCI_MANIFEST), "platform": PLATFORM, "annotations": {"a": "b"}, "artifactType": "x/y"}


def make_index(media_type: str) -> bytes:
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, "manifests": [ENTRY]}).encode()


@pytest.mark.parametrize("media_type", [OCI_INDEX, MANIFEST_LIST])
def test_of_an_index_the_entries_are_told_with_their_platform_by_one_release(media_type: str) -> None:
    manifest = parse_manifest(make_index(media_type), "")
    target = manifest_target(NAME, DIGEST, 1, media_type=media_type, references=references_of(manifest), origin=HTTPS)
    assert said(target, Form.V2)["references"] == [ENTRY]
    plain = {key: value for key, value in ENTRY.items() if key not in {"platform", "artifactType"}}
    assert said(target, Form.V1)["references"] == [plain]


def test_of_an_image_configuration_and_layers_are_told() -> None:
    manifest = parse_manifest(make_manifest(b"config", b"one", b"two"), "")
    digests = [Digest.of(content) for content in (b"config", b"one", b"two")]
    assert [descriptor.digest for descriptor in references_of(manifest)] == digests


def test_of_schema_1_the_layers_are_told_with_the_type_that_distribution_gives_them() -> None:
    layers = [DIGEST, DIGEST]
    payload = json.dumps(
        {
            "schemaVersion": 1,
            "name": "a",
            "tag": "b",
            "fsLayers": [{"blobSum": str(layer)} for layer in layers],
            "history": [{"v1Compatibility": "{}"} for _ in layers],
        }
    ).encode()
    references = references_of(parse_stored_manifest(payload))
    layer = "application/vnd.docker.container.image.rootfs.diff+x-gtar"
    assert references == (Descriptor(layer, DIGEST, 0),) * 2
    target = Target(references=references, tag="1")
    assert said(target, Form.V1)["references"] == [{"mediaType": layer, "digest": str(DIGEST)}] * 2


def test_references_may_be_all_that_there_is() -> None:
    assert said(Target(references=(Descriptor("a/b", DIGEST, 0),)), Form.V1) == {
        "references": [{"mediaType": "a/b", "digest": str(DIGEST)}]
    }


TEXT = st.text(st.characters(exclude_categories=()))  # halves of characters too, as headers and JSON can have them


@given(agent=TEXT, host=TEXT, user=TEXT, key=TEXT, value=TEXT, form=st.sampled_from(Form))
def test_whatever_clients_send_it_is_one_line_of_json_in_utf8(
    agent: str, host: str, user: str, key: str, value: str, form: Form
) -> None:
    descriptor = Descriptor("a/b", DIGEST, 1, annotations={key: value})
    target = Target(digest=DIGEST, repository="a", references=(descriptor,))
    line = event(target, actor=Actor(user, "192.0.2.7", agent, "r", 1, "PUT", host, HTTPS)).to_json(form)
    assert b"\n" not in line
    found = json.loads(line.decode("utf-8", "strict"))
    replaced = ["\ufffd" if "\ud800" <= letter <= "\udfff" else letter for letter in agent]
    assert found["request"]["useragent"] == "".join(replaced)
    assert found["action"] == "push"


@given(st.integers(min_value=0, max_value=4_102_444_800 * 10**9))
def test_times_are_those_of_go(nanoseconds: int) -> None:
    text = rfc3339(nanoseconds)
    whole, _, fraction = text.removesuffix("Z").partition(".")
    assert int(datetime.fromisoformat(f"{whole}+00:00").timestamp()) == nanoseconds // 10**9
    assert int(fraction.ljust(9, "0") or "0") == nanoseconds % 10**9
    assert not fraction.endswith("0")
    assert text.endswith("Z")
