"""The captured scenarios made playable: who answers what, and what the client is told to do.

A scenario's name says how the registry behaved (WIRE section 9); the statuses come from the capture line by
line, headers and bodies from here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.support import schema1
from tests.support.captures import Run, shape_of
from tests.support.docker import Docker, Outcome
from tests.support.images import Image, V1Image, digest_of, make_image
from tests.support.profiles import PROFILES, V2Format
from tests.support.standin import Answer, Arrived
from tests.support.v1_calls import Login
from tests.support.v2_calls import API_VERSION, SCHEMA2
from tests.support.v2_push import schema2_manifest
from tests.support.wire import Address, Headers

API: Headers = ((API_VERSION, "registry/2.0"),)
ALICE = Login("alice", "secret")
_HTML = b"<html>404 Not Found</html>"
_NAME_UNKNOWN = b'{"errors":[{"code":"NAME_UNKNOWN","message":"repository name not known to registry","detail":null}]}'
_UNAUTHORIZED = b"<html>401 Unauthorized</html>"
_JSON: Headers = (("Content-Type", "application/json"),)


@dataclass(frozen=True, slots=True)
class Content:
    """What the stand-in holds: one repository's images by tag, in the format of the asking release."""

    version: str
    name: str
    images: Mapping[str, Image]

    def v1_chain(self, image: Image) -> tuple[V1Image, ...]:
        profile = PROFILES[self.version]
        if profile.digest_ids:
            return image.digest_chain()
        return image.v1_chain(final_newline=profile.json_newline, closing_blocks=profile.closing_blocks)

    def v1_images(self) -> dict[str, tuple[V1Image, list[str]]]:
        """Every image with its ancestry (own id first)."""
        found: dict[str, tuple[V1Image, list[str]]] = {}
        for image in self.images.values():
            line: list[str] = []
            for item in self.v1_chain(image):
                line = [item.id, *line]
                found[item.id] = (item, line)
        return found

    def manifest(self, tag: str) -> tuple[bytes, str, str]:
        """The manifest of a tag as the release itself pushes it: bytes, media type, digest."""
        image = self.images[tag]
        profile = PROFILES[self.version]
        if profile.v2_format is V2Format.SCHEMA2:
            document = schema2_manifest(image.config(), image.layers)
            return document, SCHEMA2, digest_of(document)
        chain = list(reversed(self.v1_chain(image)))
        doubled = [chain[0]] if profile.v2_format is not V2Format.SCHEMA1_PATCHED else []
        entries = [schema1.Entry(digest_of(item.layer), item.json.decode()) for item in [*doubled, *chain]]
        payload = schema1.payload(self.name, tag, entries, version_first=True)
        signed = schema1.sign(payload, schema1.new_key())
        return signed, "application/vnd.docker.distribution.manifest.v1+prettyjws", digest_of(payload)

    def blobs(self) -> dict[str, bytes]:
        """Every blob by digest."""
        layers = [layer.packed for image in self.images.values() for layer in image.layers]
        return {digest_of(blob): blob for blob in [*layers, *(image.config() for image in self.images.values())]}


class Script:
    """Answers a captured run's requests with its statuses; what it does not foresee gets 599."""

    def __init__(self, run: Run, content: Content) -> None:
        self._run = run
        self._content = content
        self._left = [line.split(" ")[:3] for line in run.lines if not line.endswith("?")]
        self._manifests: dict[str, tuple[bytes, str, str]] = {}

    def __call__(self, arrived: Arrived) -> Answer:
        shape = shape_of(arrived.target)
        for line in self._left:
            if line[:2] == [arrived.method, shape]:
                self._left.remove(line)
                return self._answer(arrived, int(line[2]))
        return Answer(599, body=f"not foreseen: {arrived.method} {shape}".encode())

    def manifest(self, tag: str) -> tuple[bytes, str, str]:
        """The manifest of a tag, signed once."""
        if tag not in self._manifests:
            self._manifests[tag] = self._content.manifest(tag)
        return self._manifests[tag]

    def _answer(self, arrived: Arrived, status: int) -> Answer:
        path = urlsplit(arrived.target).path
        host = arrived.value("Host") or ""
        if path == "/v2token":
            return Answer(status, _JSON, b'{"token":"tok"}')
        if path.startswith("/v2/"):
            return self._answer_v2(arrived, status, path, host)
        return self._answer_v1(arrived, status, path, host)

    # -- v2 -----------------------------------------------------------------------------------------------------

    def _answer_v2(self, arrived: Arrived, status: int, path: str, host: str) -> Answer:
        injected = injected_v2(self._run.scenario, status, host)
        if injected is not None:
            return injected
        match status:
            case 404:
                error = {"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": {"Tag": "x"}}
                return Answer(status, (*API, *_JSON), json.dumps({"errors": [error]}).encode())
            case 405:
                return Answer(status, (*API, *_JSON), b'{"errors":[{"code":"UNSUPPORTED","message":"no"}]}')
            case 200 | 201 | 202:
                return self._success_v2(arrived, status, path, host)
            case _:
                return Answer(status, API)

    def _success_v2(self, arrived: Arrived, status: int, path: str, host: str) -> Answer:
        scheme = "https" if "_tls_" in self._run.scenario else "http"
        if match := re.search(r"/manifests/(.+)$", path):
            return self._manifest_answer(arrived, status, match[1])
        if path.endswith("/tags/list"):
            order = [line for line in self._run.lines if "/manifests/" in line]
            tags = [line.split(" ")[1].rpartition("/")[2] for line in order] or list(self._content.images)
            return Answer(status, (*API, *_JSON), json.dumps({"name": self._content.name, "tags": tags}).encode())
        if "/blobs/uploads/" in path and status == 202:
            location = f"{scheme}://{host}/v2/{self._content.name}/blobs/uploads/0-1?_state=x%3D"
            return Answer(status, (*API, ("Location", location)))
        if match := re.search(r"/blobs/(sha256:.*)$", path):
            blob = self._content.blobs()[match[1]]
            return Answer(status, API, blob)
        return Answer(status, API)

    def _manifest_answer(self, arrived: Arrived, status: int, reference: str) -> Answer:
        if arrived.method == "PUT":
            signed = b'"signatures"' in arrived.body
            digest = schema1.verify(arrived.body).digest if signed else digest_of(arrived.body)
            return Answer(status, (*API, ("Docker-Content-Digest", digest)))
        tag = reference if reference in self._content.images else list(self._content.images)[-1]
        document, media_type, digest = self.manifest(tag)
        headers = (*API, ("Content-Type", media_type), ("Docker-Content-Digest", digest))
        return Answer(status, headers, document)

    # -- v1 -----------------------------------------------------------------------------------------------------

    def _answer_v1(self, arrived: Arrived, status: int, path: str, host: str) -> Answer:
        scenario = self._run.scenario
        if path == "/v1/_ping":
            flag = {"_notstandalone": "False", "_standalone_false": "false"}
            said = next((text for part, text in flag.items() if scenario.endswith(part)), "True")
            return Answer(status, (("X-Docker-Registry-Standalone", said), *_JSON), b"{}")
        if not 200 <= status < 300:
            exists = b'"Username or email already exists"' if path == "/v1/users/" else b"boom"
            return Answer(status, _JSON, exists)
        headers = list(_JSON)
        if re.match(r"/v1/repositories/.*/(images)?$", path):
            if "_notoken" not in scenario:
                headers.append(("X-Docker-Token", 'Token signature=A,repository="team/ml",access=write'))
            if "_noendpoints" not in scenario:
                headers.append(("X-Docker-Endpoints", host))
            if "_cookies" in scenario:
                headers.append(("Set-Cookie", "session=abc.def; Path=/"))
        body = b"" if arrived.method != "GET" else self._read_v1(path, headers)
        return Answer(status, tuple(headers), body)

    def _read_v1(self, path: str, headers: list[tuple[str, str]]) -> bytes:
        images = self._content.v1_images()
        tops = {tag: self._content.v1_chain(image)[-1].id for tag, image in self._content.images.items()}
        if path.endswith("/images"):
            return json.dumps([{"id": image_id} for image_id in images]).encode()
        if path.endswith("/tags"):
            return json.dumps(dict(reversed(tops.items()))).encode()
        if match := re.search(r"/tags/(.+)$", path):
            return json.dumps(tops[match[1]]).encode()
        if path == "/v1/search":
            return json.dumps({"num_results": 1, "results": [{"name": "team/ml", "description": ""}]}).encode()
        if match := re.match(r"/v1/images/(\w+)/(\w+)$", path):
            # A push asks for images too; ids that are not here answer with a JSON of their own.
            image, ancestry = images.get(match[1], (V1Image(match[1], b"{}", b""), []))
            if match[2] == "json":
                headers.append(("X-Docker-Size", str(len(image.layer))))
            return {"json": image.json, "layer": image.layer, "ancestry": json.dumps(ancestry).encode()}[match[2]]
        return b'"OK"'


def injected_v2(scenario: str, status: int, host: str) -> Answer | None:
    """The answers of registries that behave oddly below ``/v2/``, by the name of the scenario."""
    _, _, ping = scenario.partition("_ping_")
    basic = ("WWW-Authenticate", 'Basic realm="test"')
    bearer = ("WWW-Authenticate", f'Bearer realm="http://{host}/v2token",service="reg"')
    answers: dict[str, Answer] = {
        "200noapi": Answer(status, (), b"{}"),
        "301": Answer(status, (("Location", f"http://{host}/v1/_ping"),)),
        "401basic": Answer(status, (*API, basic), b"{}"),
        "401basic_noapi": Answer(status, (basic,), b"{}"),
        "401bearer": Answer(status, (*API, bearer), _UNAUTHORIZED),
        "401nochallenge": Answer(status, API, _UNAUTHORIZED),
        "404api": Answer(status, API, b"{}"),
        "405": Answer(status),
        "500": Answer(status),
        "503": Answer(status),
    }
    if ping in answers:
        return answers[ping]
    if scenario.startswith("login_v2_basic"):
        return Answer(status, (*API, basic), b"{}")
    if match := re.search(r"v2all_404(\w+?)_(api|noapi)$", scenario):
        body = {"err": _NAME_UNKNOWN, "html": _HTML, "text": b"404 page not found"}[match[1]]
        return Answer(status, (*(API if match[2] == "api" else ()), ("Content-Type", "text/plain")), body)
    plain_v1 = re.search(r"_(v1|neither|v1ping|tls_v1)(_|$)", scenario) or scenario.startswith(("real_", "realv1_"))
    if status == 404 and plain_v1 and not re.search(r"missing_tag", scenario.removeprefix("pull_v1_missing")):
        return Answer(status, (("Content-Type", "text/html"),), _HTML)
    return None


def content_of(run: Run, *, image_of: str = "team/ml") -> Content:
    """The repository that the run's command names, with its images, which are made of a word."""
    pulls_all_of_one = len([line for line in run.lines if "/ancestry" in line]) == 1
    name = repository_of(run)
    if name == "team/mod":
        return Content(run.version, name, {"a": make_image(image_of.replace("ml", "mod"), layers=1)})
    image = make_image(image_of)
    both = {"a": image.parent(), "b": image}
    return Content(run.version, name, {"b": image} if pulls_all_of_one else both)


def repository_of(run: Run) -> str:
    """The repository in the run's command, or an empty string."""
    match = re.search(r"REGISTRY/([\w/-]+)", run.command)
    return match[1] if match else ""


def play(run: Run, script: Script, content: Content, address: Address) -> Outcome:
    """Let a replayed client do what the captured one did, from the same state."""
    logged_in = "loggedin" in run.scenario or any("basic:login" in line for line in run.lines)
    verb = run.command.split(" ")[1]
    docker = Docker(run.version, address, login=ALICE if logged_in and verb != "login" else None)
    if _has_it_already(run, verb):
        for image in content.images.values():
            docker.keep(content.name, image)
    _, _, tag = run.command.rpartition("REGISTRY")[2].partition(":")
    match verb:
        case "login":
            return docker.login(ALICE)
        case "search":
            return docker.search("ml")
        case "push" if tag:
            return docker.push(content.name, tag, content.images[tag])
        case "push":
            return docker.push_all(content.name, content.images)
        case "pull" if "@" in run.command:
            return docker.pull(content.name, script.manifest("b")[2])
        case "pull" if tag:
            return docker.pull(content.name, tag)
        case "pull":
            return docker.pull_all(content.name)
        case _:
            raise AssertionError(f"unknown command {run.command}")


def _has_it_already(run: Run, verb: str) -> bool:
    """Whether the captured client had the images: a push that looks before it uploads, a pull that fetches none."""
    blobs = [line for line in run.lines if "/blobs/" in line]
    if verb == "push":
        return bool(blobs) and blobs[0].startswith("HEAD")
    if "uptodate" in run.scenario or "_nons" in run.scenario:
        return True
    found = any(re.search(r"GET \S+/(ancestry|manifests/\S+) 200", line) for line in run.lines)
    fetched = any(re.match(r"GET \S+/(json|layer|blobs/\S+) ", line) for line in run.lines)
    return found and not fetched
