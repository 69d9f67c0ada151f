"""The v1 half of a Docker client: index, image and tag calls, push and pull (WIRE sections 3 and 4, V1API 12).

A session is one command's talk with one v1 registry. It holds what real sessions held: the token, the cookies,
and whether Basic replaces the token (https and a standalone registry).
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urljoin, urlsplit

from tests.support.images import Pulled, V1Image
from tests.support.profiles import Profile
from tests.support.tarsum import payload_checksum, tarsum
from tests.support.wire import BrokenConnectionError, Call, HttpClient, Response

_JSON_TRIES: Final = 5
_LAYER_TRIES: Final = 5
_PARALLEL: Final = 3


class CommandError(Exception):
    """The command ends here, with this message on the terminal."""


@dataclass(frozen=True, slots=True)
class Login:
    """Credentials as ``docker login -u … -p … -e …`` takes them."""

    user: str
    password: str
    email: str = "a@b.c"

    @property
    def basic(self) -> str:
        return basic(f"{self.user}:{self.password}")


def basic(credentials: str) -> str:
    """The Authorization of ``user:password``; nobody is ``:``."""
    return "Basic " + base64.b64encode(credentials.encode()).decode()


@dataclass(slots=True)
class V1Store:
    """What a daemon keeps of v1 images, by id."""

    images: dict[str, V1Image] = field(default_factory=dict)


class V1Session:
    """One command's session with a v1 registry at `base` (``scheme://netloc``)."""

    def __init__(
        self, http: HttpClient, profile: Profile, base: str, *, login: Login | None, standalone_tls: bool
    ) -> None:
        self._http = http
        self._profile = profile
        self._base = base
        self._login = login
        self._basic_everywhere = standalone_tls
        self._token: str | None = None
        self._cookies: dict[str, str] | None = None
        self._endpoint = f"{base}/v1/"

    # -- push ---------------------------------------------------------------------------------------------------

    def push(self, name: str, chains: Mapping[str, Sequence[V1Image]]) -> None:
        """Push the chains (base first) of the tags.

        Raises:
            CommandError: With the text that docker prints.
        """
        images: dict[str, V1Image] = {image.id: image for chain in chains.values() for image in chain}
        tags_of: dict[str, list[str]] = {image_id: [] for image_id in images}
        for tag in sorted(chains):
            tags_of[chains[tag][-1].id].append(tag)
        self._put_image_list(name, tags_of)
        if self._profile.checks_all_first:
            self._push_checked_first(images)
            for image_id, tags in tags_of.items():
                for tag in tags:
                    self._put_tag(name, tag, image_id)
        else:
            for image in images.values():
                if not self._is_there(image):
                    self._push_image(image)
                for tag in tags_of[image.id]:
                    self._put_tag(name, tag, image.id)
        self._finish(name)

    def _put_image_list(self, name: str, tags_of: Mapping[str, Sequence[str]]) -> None:
        items = [
            {"id": image_id, **({"Tag": tag} if tag else {})}
            for image_id, tags in tags_of.items()
            for tag in (tags or [""])
        ]
        url = f"{self._base}/v1/repositories/{name}/"
        authorization = self._list_authorization(always=self._profile.basic_on_push_lists)
        response = self._put_list(url, _compact(items), authorization, {})
        if response.status in {401, 403} and self._login is None:
            raise CommandError("Please login prior to push:")
        if response.status not in {200, 201}:
            text = response.body.decode(errors="replace")
            raise CommandError(f"Error: Status {response.status} trying to push repository {name}: {text}")
        self._adopt(response, must_have_token=True, must_have_endpoints=True)

    def _put_list(self, url: str, body: bytes, authorization: str | None, extra: dict[str, str]) -> Response:
        """PUT a list of images; redirects of these two calls are followed with their body."""
        while True:
            fields = {self._profile.list_type_name: "application/json", "X-Docker-Token": "true", **extra}
            response = self._send("PUT", url, authorization, fields, body)
            location = response.value("Location")
            if not (300 <= response.status < 400 and location):
                return response
            url = urljoin(url, location)

    def _finish(self, name: str) -> None:
        authorization = self._list_authorization(always=self._profile.basic_on_push_lists) or self._token_value()
        url = f"{self._base}/v1/repositories/{name}/images"
        response = self._put_list(url, b"[]", authorization, {"X-Docker-Endpoints": self._endpoint})
        if response.status != 204:
            text = response.body.decode(errors="replace")
            raise CommandError(f"Error: Status {response.status} trying to push checksums {name}: {text}")

    def _push_checked_first(self, images: Mapping[str, V1Image]) -> None:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            there = dict(zip(images, pool.map(self._is_there, images.values()), strict=True))
        for image in images.values():
            if not there[image.id]:
                self._push_image(image)

    def _is_there(self, image: V1Image) -> bool:
        return self._get(self._image_url(image.id, "json")).status == 200

    def _push_image(self, image: V1Image) -> None:
        json_type = {"Content-Type": "application/json"}
        response = self._put(self._image_url(image.id, "json"), json_type, image.json)
        if response.status != 200:
            if _error_text(response) == "Image already exists":
                return
            self._refused(response, "uploading metadata")
        layer_type = {"Content-Type": self._profile.layer_type} if self._profile.layer_type else {}
        response = self._put(self._image_url(image.id, "layer"), layer_type, image.layer, chunked=True)
        if response.status != 200:
            self._refused(response, "uploading layer")
        checksums = {
            "X-Docker-Checksum": tarsum(unpacked(image.layer), image.json),
            "X-Docker-Checksum-Payload": payload_checksum(image.json, image.layer),
        }
        response = self._put(self._image_url(image.id, "checksum"), checksums, None)
        if response.status != 200 and _error_text(response) != "Image already exists":
            self._refused(response, "uploading metadata")

    def _put_tag(self, name: str, tag: str, image_id: str) -> None:
        url = f"{self._endpoint}repositories/{name}/tags/{tag}"
        response = self._put(url, {"Content-Type": "application/json"}, _compact(image_id))
        if response.status not in {200, 201}:
            raise CommandError(f"Internal server error: {response.status} trying to push tag {tag} on {name}")

    def _refused(self, response: Response, doing: str) -> None:
        text = response.body.decode(errors="replace")
        raise CommandError(f"Received HTTP code {response.status} while {doing}: {text}")

    # -- pull ---------------------------------------------------------------------------------------------------

    def pull(self, name: str, tag: str | None, store: V1Store) -> list[Pulled]:
        """Pull one tag, or all of them when `tag` is None; images that are in the store are not fetched.

        Raises:
            CommandError: With the text that docker prints.
        """
        self._get_image_list(name, tag)
        wanted = self._tags(name, tag)
        if self._profile.digest_ids:
            return [self._pull_images_of(one, image_id, store) for one, image_id in wanted.items()]
        ancestries = {image_id: self._ancestry(image_id) for image_id in dict.fromkeys(wanted.values())}
        for ancestry in ancestries.values():
            for image_id in reversed(ancestry):
                if image_id not in store.images:
                    store.images[image_id] = self._fetch(image_id)
        return [
            _pulled(one, [store.images[item] for item in reversed(ancestries[image_id])])
            for one, image_id in wanted.items()
        ]

    def _pull_images_of(self, tag: str, top: str, store: V1Store) -> Pulled:
        """Docker 1.10 and later read all JSON of a tag, then the layers that are missing, in parallel."""
        ids = [*reversed(self._ancestry(top))]
        texts = {image_id: self._json(image_id) for image_id in ids}
        missing = [image_id for image_id in ids if image_id not in store.images]
        with ThreadPoolExecutor(_PARALLEL) as pool:
            layers = pool.map(lambda image_id: self._layer(image_id, texts[image_id][1]), missing)
            for image_id, layer in zip(missing, layers, strict=True):
                store.images[image_id] = V1Image(image_id, texts[image_id][0], layer)
        return _pulled(tag, [store.images[image_id] for image_id in ids])

    def _get_image_list(self, name: str, tag: str | None) -> None:
        url = f"{self._base}/v1/repositories/{name}/images"
        authorization = self._list_authorization(always=self._profile.basic_on_pull_list)
        response = self._send("GET", url, authorization, {"X-Docker-Token": "true"})
        if response.status == 401:
            raise CommandError("Please login prior to pull:")
        if response.status == 404:
            raise CommandError(f"Error: image {name}:{tag or ''} not found")
        if response.status != 200:
            raise CommandError(f"HTTP code: {response.status}")
        self._adopt(response, must_have_token=False, must_have_endpoints=False)
        listed = json.loads(response.body)
        if not all(isinstance(item["id"], str) for item in listed):
            raise CommandError("json: cannot unmarshal the list of images")

    def _tags(self, name: str, tag: str | None) -> dict[str, str]:
        # A name without namespace grows one here, and here only.
        full = name if "/" in name else f"library/{name}"
        url = f"{self._endpoint}repositories/{full}/tags"
        if tag is not None and self._profile.reads_one_tag:
            response = self._get(f"{url}/{tag}")
            if response.status == 404:
                raise CommandError(f"Tag {tag} not found in repository {name}")
            if response.status != 200:
                raise CommandError(f"Server error: {response.status} trying to fetch tag {tag} of {name}")
            return {tag: _text(response)}
        response = self._get(url)
        if response.status == 404:
            raise CommandError("Repository not found")
        if response.status != 200:
            raise CommandError("Could not reach any registry endpoint")
        tags: dict[str, str] = json.loads(response.body)
        if tag is None:
            return tags
        if tag not in tags:
            raise CommandError(f"Tag {tag} not found in repository {name}")
        return {tag: tags[tag]}

    def _ancestry(self, image_id: str) -> list[str]:
        response = self._get(self._image_url(image_id, "ancestry"))
        if response.status != 200:
            raise CommandError(f"Server error: {response.status} trying to fetch remote history for {image_id}")
        ids: list[str] = json.loads(response.body)
        return ids

    def _fetch(self, image_id: str) -> V1Image:
        text, size = self._json(image_id)
        if self._profile.asks_layer_head:
            self._send("HEAD", self._image_url(image_id, "layer"), self._registry_authorization(), {})
        return V1Image(image_id, text, self._layer(image_id, size))

    def _json(self, image_id: str) -> tuple[bytes, int]:
        """The JSON and the announced size of the layer, -1 if none; five tries, whatever the answer is."""
        status = 0
        for _ in range(_JSON_TRIES):
            response = self._get(self._image_url(image_id, "json"))
            if response.status == 200:
                return self._check_json(image_id, response)
            status = response.status
        raise CommandError(f"Error pulling image: HTTP code {status}")

    def _check_json(self, image_id: str, response: Response) -> tuple[bytes, int]:
        if json.loads(response.body)["id"] != image_id:
            raise CommandError(f"the JSON of image {image_id} names another id")
        size = response.value("X-Docker-Size")
        return response.body, int(size) if size else -1

    def _layer(self, image_id: str, size: int) -> bytes:
        broken: Exception | None = None
        for _ in range(_LAYER_TRIES):
            try:
                response = self._get(self._image_url(image_id, "layer"))
            except BrokenConnectionError as error:
                broken = error
                continue
            if response.status != 200:
                raise CommandError(f"Server error: Status {response.status} while fetching image layer ({image_id})")
            if size >= 0 and len(response.body) != size:
                raise CommandError(f"layer {image_id} has {len(response.body)} bytes, X-Docker-Size said {size}")
            _check_layer(response.body)
            return response.body
        raise CommandError(f"Error pulling dependent layers: {broken}")

    # -- calls --------------------------------------------------------------------------------------------------

    def search(self, term: str) -> list[str]:
        """The names found.

        Raises:
            CommandError: The answer is not 200.
        """
        fields = {"X-Docker-Token": "true"} if self._profile.search_token else {}
        authorization = self._login.basic if self._login and self._profile.search_login else None
        if self._basic_everywhere and authorization is None:
            authorization = self._basic()
        url = f"{self._base}/v1/search?q={term}{self._profile.search_query}"
        response = self._send("GET", url, authorization, fields)
        if response.status != 200:
            raise CommandError(f"Unexpected status code {response.status}")
        return [result["name"] for result in json.loads(response.body)["results"]]

    def _adopt(self, response: Response, *, must_have_token: bool, must_have_endpoints: bool) -> None:
        tokens = response.values("X-Docker-Token")
        if must_have_token and not tokens and self._profile.needs_token:
            raise CommandError("Index response didn't contain an access token")
        endpoints = [item.strip() for value in response.values("X-Docker-Endpoints") for item in value.split(",")]
        if must_have_endpoints and not endpoints:
            raise CommandError("Index response didn't contain any endpoints")
        self._token = ",".join(tokens) if tokens or self._profile.needs_token else None
        if endpoints:
            self._endpoint = f"{urlsplit(self._base).scheme}://{endpoints[0]}/v1/"

    def _image_url(self, image_id: str, part: str) -> str:
        return f"{self._endpoint}images/{image_id}/{part}"

    def _get(self, url: str) -> Response:
        return self._send("GET", url, self._registry_authorization(), {})

    def _put(self, url: str, fields: Mapping[str, str], body: bytes | None, *, chunked: bool = False) -> Response:
        return self._send("PUT", url, self._registry_authorization(), fields, body, chunked=chunked)

    def _send(
        self,
        method: str,
        url: str,
        authorization: str | None,
        fields: Mapping[str, str],
        body: bytes | None = None,
        *,
        chunked: bool = False,
    ) -> Response:
        lines = [*fields.items()]
        if authorization is not None:
            lines.append(("Authorization", authorization))
        if self._cookies:
            jar = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            lines.append(("Cookie", jar))
        call = Call(method, url, self._profile.agent, lines, body, chunked)
        try:
            response = self._http.send(call)
        except BrokenConnectionError as error:
            if method == "GET" and url.endswith("/layer"):
                raise
            raise CommandError(str(error)) from error
        self._keep_cookies(response)
        return response

    def _keep_cookies(self, response: Response) -> None:
        """The jar starts with the first index call, which is the first call of a session."""
        jar = dict(self._cookies or {})
        for line in response.values("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            jar[name.strip()] = value.strip()
        self._cookies = jar

    def _basic(self) -> str:
        return self._login.basic if self._login else basic(":")

    def _list_authorization(self, *, always: bool) -> str | None:
        """Of the calls on image lists: Basic by rule of the release, or because somebody is logged in."""
        if always or self._login or self._basic_everywhere:
            return self._basic()
        return None

    def _registry_authorization(self) -> str | None:
        return self._basic() if self._basic_everywhere else self._token_value()

    def _token_value(self) -> str | None:
        # The word "Token" is put before a value that may begin with it already; registries are used to it.
        return None if self._token is None else f"Token {self._token}"


def sign_up(http: HttpClient, profile: Profile, base: str, login: Login) -> str:
    """``docker login`` against v1: POST (up to 1.10), then GET with Basic where that was refused.

    Returns:
        What docker prints.

    Raises:
        CommandError: Wrong password, or an answer that is none.
    """
    url = f"{base}/v1/users/"
    if profile.sign_up_agent:
        account = {"username": login.user, "password": login.password, "auth": "", "email": login.email}
        fields = [("Content-Type", "application/json; charset=utf-8")]
        response = http.send(Call("POST", url, profile.sign_up_agent, fields, _compact(account)))
        text = response.body.decode(errors="replace")
        if response.status == 201:
            return "Account created."
        known = response.status == 400 and "Username or email already exists" in text
        if not (known or response.status == 401):
            raise CommandError(f"Unexpected status code [{response.status}] : {text}")
    response = http.send(Call("GET", url, profile.agent, [("Authorization", login.basic)]))
    if response.status == 401:
        raise CommandError("Wrong login/password, please try again")
    if response.status != 200:
        raise CommandError(f"Unexpected status code {response.status}")
    return "Login Succeeded"


def ping(http: HttpClient, profile: Profile, base: str) -> bool:
    """``GET /v1/_ping``: whether the registry is standalone, which it is unless it says otherwise."""
    response = http.send(Call("GET", f"{base}/v1/_ping", profile.ping_agent))
    standalone = response.value("X-Docker-Registry-Standalone")
    return standalone is None or standalone.lower() in {"true", "1"}


def refuse_namespace(profile: Profile, name: str) -> None:
    """What old clients refuse before any traffic.

    Raises:
        CommandError: The namespace is shorter or longer than they allow.
    """
    namespace, separator, _ = name.partition("/")
    if profile.namespace_4_to_30 and separator and not 4 <= len(namespace) <= 30:
        raise CommandError(f"Invalid namespace name ({namespace}), size must be between 4 and 30")


def _pulled(tag: str, images: Sequence[V1Image]) -> Pulled:
    return Pulled(tag, tuple(image.json for image in images), tuple(image.layer for image in images))


def _compact(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _text(response: Response) -> str:
    value = json.loads(response.body)
    if not isinstance(value, str):
        raise CommandError("json: cannot unmarshal the id of a tag")
    return value


def _error_text(response: Response) -> str:
    try:
        return str(json.loads(response.body)["error"])
    except (ValueError, KeyError, TypeError):
        return ""


def unpacked(layer: bytes) -> bytes:
    """The tar in a layer, whatever wraps it."""
    decoder: Callable[[bytes], bytes] = zlib.decompressobj(31).decompress
    return decoder(layer) if layer.startswith(b"\x1f\x8b") else layer


def _check_layer(layer: bytes) -> None:
    """Unpack the layer as the daemon does; a broken stream fails the pull."""
    tar = unpacked(layer)
    if tar.strip(b"\0"):
        with tarfile.open(fileobj=io.BytesIO(tar), mode="r:") as archive:
            archive.getmembers()
