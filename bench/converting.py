"""What conversions cost: of real files, beside a bare loop that inflates and hashes, and beside what needs none.

One Portside is given images that old and new clients have pushed. Nothing is read in the background, so that each
figure is of the request that is measured.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import secrets
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench import proc
from bench.contents import AGENT, MANIFEST_TYPE, wait_until_old
from bench.contestants import HOST, Contestant, Credentials
from bench.layers import Layer, real_layers
from bench.load import Load
from bench.peers import portside
from bench.programs import Hindrance, Programs
from bench.scale import Scale

LAYERS = 3
"""Of each image."""

OLD, NEW, NATIVE = "bench/old", "bench/new", "bench/native"
OLD_AGENT = "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef kernel/3.13.0 os/linux arch/amd64"
NO_ZSTD_AGENT = "docker/20.10.24 go/go1.18.7 git-commit/5d6db84 kernel/6.1.0 os/linux arch/amd64"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
REDIRECTS = 9
_ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def converting(
    folder: Path, credentials: Credentials, programs: Programs, load: Load, scale: Scale
) -> Iterator[Converting]:
    """Starts a Portside of its own; ends it after the block, and removes what it holds."""
    own = folder / f"converting-{secrets.token_hex(4)}"
    (own / "data").mkdir(parents=True)
    layers = real_layers(LAYERS, size=scale.converted_each)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, own)
        settings = {"conversions": {"background": False}}
        contestant = portside(own, credentials, programs, name=own.name, gateway=settings)
        stack.callback(contestant.stop)
        contestant.start()
        client = Client(contestant)
        stack.callback(client.close)
        yield Converting(contestant, client, layers, load, scale)


class Converting:
    """A Portside, and what is measured of it: each method yields the figures of one round after another."""

    def __init__(
        self, contestant: Contestant, client: Client, layers: Sequence[Layer], load: Load, scale: Scale
    ) -> None:
        self._contestant = contestant
        self._client = client
        self._layers = layers
        self._load = load
        self._scale = scale
        self._numbers = itertools.count(1)
        self._gigabytes = sum(len(layer.gzip) for layer in layers) / 1e9
        self._pids = contestant.pids()

    def first(self) -> Iterator[dict[str, float]]:
        """The manifest that is made of a v1 image of an old volume, beside a bare loop over its layers."""

        def prepare() -> tuple[str, list[Path]]:
            tag = f"t{next(self._numbers)}"
            layers = [layer.numbered_gzip(next(self._numbers)) for layer in self._layers]
            return f"/v2/{OLD}/manifests/{tag}", write_v1_image(self._contestant.data, OLD, tag, layers)

        for cpu, ratio in self._beside_bare("inflate", prepare, AGENT):
            yield {"ratio": ratio, "cpu": cpu / (self._scale.converted_images * self._gigabytes)}

    def gzip(self) -> Iterator[dict[str, float]]:
        """The manifest for a client that cannot unpack zstd, and the gzips for it, beside a bare loop."""

        def prepare() -> tuple[str, list[Path]]:
            tag = f"t{next(self._numbers)}"
            layers = [layer.numbered_zstd(next(self._numbers)) for layer in self._layers]
            digests = [self._client.push_blob(NEW, layer) for layer in layers]
            rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in self._layers]}
            config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
            layer_type = "application/vnd.oci.image.layer.v1.tar+zstd"
            manifest = {
                "schemaVersion": 2,
                "mediaType": OCI_MANIFEST,
                "config": _descriptor(config, "application/vnd.oci.image.config.v1+json"),
                "layers": [_descriptor(layer, layer_type) for layer in layers],
            }
            self._client.push_blob(NEW, config)
            self._client.push_manifest(NEW, tag, json.dumps(manifest).encode(), OCI_MANIFEST)
            return f"/v2/{NEW}/manifests/{tag}", [_blob_file(self._contestant.data, digest) for digest in digests]

        size = self._scale.converted_images * sum(layer.size for layer in self._layers) / 1e9
        for cpu, ratio in self._beside_bare("gzip", prepare, NO_ZSTD_AGENT):
            yield {"ratio": ratio, "cpu": cpu / size}

    def _beside_bare(
        self, verb: str, prepare: Callable[[], tuple[str, list[Path]]], agent: str
    ) -> Iterator[tuple[float, float]]:
        for number in range(self._scale.rounds + 1):
            images = [prepare() for _ in range(self._scale.converted_images)]
            files = [file for _, layers in images for file in layers]

            def convert(images: Sequence[tuple[str, list[Path]]] = images) -> float:
                with self._used() as used:
                    answers = [self._client.get(path, agent) for path, _ in images]
                for answer in answers:
                    self._check(answer, images[0][0])
                return used[0]

            if number % 2:  # the one that comes first is not always the same
                cpu, bare = convert(), _bare(verb, files, self._layers)
            else:
                bare, cpu = _bare(verb, files, self._layers), convert()
            if number > 0:  # the first one imports what conversion needs
                yield cpu, cpu / bare
            for file in files:
                file.unlink()

    def _check(self, answer: bytes, path: str) -> None:
        """Sees to it that a converted manifest is one, and that its configuration names what is in the layers."""
        manifest = json.loads(answer)
        kinds = {layer["mediaType"] for layer in manifest["layers"]}
        if manifest["mediaType"] != MANIFEST_TYPE or any(not kind.endswith("gzip") for kind in kinds):
            raise Hindrance(f"{path} was not converted: {answer[:300]!r}")
        name = path.partition("/manifests/")[0]
        config = json.loads(self._client.get(f"{name}/blobs/{manifest['config']['digest']}", AGENT))
        if config["rootfs"]["diff_ids"] != [layer.diff_id for layer in self._layers]:
            raise Hindrance(f"{path} has another content than its layers: {config['rootfs']}")

    def push(self) -> Iterator[dict[str, float]]:
        """A push by the v1 protocol whose layers are metered, less one of as many bytes whose layers are not."""
        for number in range(self._scale.rounds + 1):
            kinds: list[Callable[[Layer, int], bytes]] = [Layer.numbered_gzip, Layer.numbered_opaque]
            spent: dict[str, float] = {}
            for kind in kinds if number % 2 else kinds[::-1]:
                spent[kind.__name__] = self._push(kind, metered=kind is Layer.numbered_gzip)
            metered, plain = (spent[kind.__name__] / self._gigabytes for kind in kinds)
            if number > 0:
                yield {"cpu": metered - plain, "whole": metered, "plain": plain}

    def _push(self, kind: Callable[[Layer, int], bytes], *, metered: bool) -> float:
        layers = [kind(layer, next(self._numbers)) for layer in self._layers]
        with self._used() as used:
            self._client.push_v1(OLD, f"t{next(self._numbers)}", layers)
        for layer in layers:
            name = hashlib.sha256(layer).hexdigest()
            fact = self._contestant.data / "docker/registry/portside/index/layers/sha256" / name[:2] / name
            if fact.exists() is not metered:
                raise Hindrance(f"a pushed layer of {len(layer)} bytes was {'not ' if metered else ''}metered")
        shutil.rmtree(self._contestant.data / "images")
        return used[0]

    def again(self) -> Iterator[dict[str, float]]:
        """What was converted before, beside the same bytes as somebody has pushed them."""
        layers = [layer.numbered_gzip(next(self._numbers)) for layer in self._layers]
        write_v1_image(self._contestant.data, OLD, "latest", layers)
        content = self._client.get(f"/v2/{OLD}/manifests/latest", AGENT)
        self._check(content, f"/v2/{OLD}/manifests/latest")
        manifest = json.loads(content)
        config, large = manifest["config"], max(manifest["layers"], key=lambda each: each["size"])
        for part in (config, *manifest["layers"]):
            self._client.push_blob(NATIVE, self._client.get(f"/v2/{OLD}/blobs/{part['digest']}", AGENT))
        self._client.push_manifest(NATIVE, "latest", content, MANIFEST_TYPE)
        accept = f"-header=Accept: {MANIFEST_TYPE}"
        by_tag = ("/manifests/latest", accept, f"-length={len(content)}")
        by_digest = (f"/manifests/sha256:{hashlib.sha256(content).hexdigest()}", *by_tag[1:])
        small = {
            "tag": by_tag,
            "digest": by_digest,
            "head": (f"/blobs/{large['digest']}", "-method=HEAD", f"-length={large['size']}"),
            "config": (f"/blobs/{config['digest']}", f"-length={config['size']}"),
        }
        wait_until_old(time.monotonic())
        for number in range(self._scale.pair_rounds):
            names = [OLD, NATIVE] if number % 2 else [NATIVE, OLD]
            figures: dict[str, float] = {}
            pulls = dict.fromkeys(names, 0.0)
            for figure, (path, *arguments) in small.items():
                spent = {name: self._small(f"-path=/v2/{name}{path}", *arguments) for name in names}
                figures[figure] = spent[OLD] / spent[NATIVE]
                if figure != "head":
                    pulls = {name: pulls[name] + spent[name] for name in names}
            spent = {name: self._pull(f"/v2/{name}/blobs/{large['digest']}") for name in names}
            figures["layer"] = spent[OLD] / spent[NATIVE]
            figures["pull"] = (pulls[OLD] + spent[OLD]) / (pulls[NATIVE] + spent[NATIVE])
            yield figures

    def _small(self, *arguments: str) -> float:
        found = self._load.measure(self._contestant, "small", f"-seconds={self._scale.small_seconds}", *arguments)
        return found.used.cpu / found.result.requests

    def _pull(self, path: str) -> float:
        paths = [f"-path={path}"] * 8
        return self._load.measure(self._contestant, "pull", f"-clients={len(paths)}", *paths).used.cpu / len(paths)

    @contextlib.contextmanager
    def _used(self) -> Iterator[list[float]]:
        """Has the CPU of all server processes of the block, after it."""
        found: list[float] = []
        before = proc.usage(self._pids)
        yield found
        found.append(proc.used_between(before, proc.usage(self._contestant.pids())).cpu)


class Client:
    """A client of one registry, which follows redirects as containerd does, and hears of every refusal."""

    def __init__(self, contestant: Contestant) -> None:
        context = ssl.create_default_context(cafile=str(contestant.credentials.ca))
        self._connection = HTTPSConnection(HOST, contestant.port, timeout=120, context=context)

    def close(self) -> None:
        self._connection.close()

    def get(self, path: str, agent: str) -> bytes:
        """Returns what is there."""
        for _ in range(REDIRECTS):
            status, headers, said = self._ask("GET", path, headers={"User-Agent": agent, "Accept": MANIFEST_TYPE})
            if status != 307:
                return _required(status, {200}, said, f"GET {path}")
            path = headers["location"]
        raise Hindrance(f"GET {path} was redirected {REDIRECTS} times")

    def push_blob(self, name: str, content: bytes) -> str:
        """Pushes a blob; returns its digest."""
        digest = _digest(content)
        status, headers, said = self._ask("POST", f"/v2/{name}/blobs/uploads/")
        _required(status, {202}, said, f"an upload to {name}")
        place = urlsplit(headers["location"])
        joint = f"{place.path}?{place.query}&" if place.query else f"{place.path}?"
        status, _, said = self._ask("PUT", f"{joint}digest={digest}", content)
        _required(status, {201}, said, f"blob {digest}")
        return digest

    def push_manifest(self, name: str, tag: str, content: bytes, media_type: str) -> None:
        """Pushes a manifest."""
        path = f"/v2/{name}/manifests/{tag}"
        status, _, said = self._ask("PUT", path, content, {"Content-Type": media_type})
        _required(status, {201}, said, f"PUT {path}")

    def push_v1(self, name: str, tag: str, layers: Sequence[bytes]) -> None:
        """Pushes an image as Docker 1.5 does."""
        texts = v1_texts(len(layers))
        everything: list[tuple[str, bytes, dict[str, str]]] = [
            (f"repositories/{name}/", json.dumps([{"id": image_id} for image_id in texts]).encode(), {})
        ]
        for (image_id, text), layer in zip(texts.items(), layers, strict=True):
            everything += [
                (f"images/{image_id}/json", text, {}),
                (f"images/{image_id}/layer", layer, {}),
                (f"images/{image_id}/checksum", b"", {"X-Docker-Checksum-Payload": _digest(text + b"\n" + layer)}),
            ]
        everything.append((f"repositories/{name}/tags/{tag}", json.dumps(list(texts)[-1]).encode(), {}))
        everything.append((f"repositories/{name}/images", b"[]", {}))
        for path, body, headers in everything:
            status, _, said = self._ask("PUT", f"/v1/{path}", body, {"User-Agent": OLD_AGENT, **headers})
            _required(status, {200, 204}, said, f"PUT /v1/{path}")

    def v1_image(self, name: str, tag: str) -> str:
        """Returns the id of a tag's image."""
        path = f"/v1/repositories/{name}/tags/{tag}"
        status, _, said = self._ask("GET", path, headers={"User-Agent": OLD_AGENT})
        return str(json.loads(_required(status, {200}, said, f"GET {path}")))

    def pull_v1(self, name: str, tag: str, sizes: Sequence[int]) -> None:
        """Pulls an image as Docker 1.5 does: the tag, its ancestry, then JSON and layer of each image.

        Args:
            name: the repository.
            tag: its tag.
            sizes: bytes of each layer that must come.
        """
        ids = json.loads(self._get_v1(f"repositories/{name}/images"))
        image_id = self.v1_image(name, tag)
        ancestry = json.loads(self._get_v1(f"images/{image_id}/ancestry"))
        found = []
        for each in reversed(ancestry):
            json.loads(self._get_v1(f"images/{each}/json"))
            found.append(len(self._get_v1(f"images/{each}/layer")))
        if found != list(sizes) or image_id not in {each["id"] for each in ids}:
            raise Hindrance(f"a v1 pull of {name}:{tag} found layers of {found} bytes")

    def _get_v1(self, path: str) -> bytes:
        status, _, said = self._ask("GET", f"/v1/{path}", headers={"User-Agent": OLD_AGENT})
        return _required(status, {200}, said, f"GET /v1/{path}")

    def _ask(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str], bytes]:
        self._connection.request(method, path, body, {"User-Agent": AGENT, **(headers or {})})
        answer = self._connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def v1_texts(count: int) -> dict[str, bytes]:
    """Returns the JSON of new images by their ids, from the base up."""
    texts: dict[str, bytes] = {}
    for _ in range(count):
        parent = {"parent": next(reversed(texts))} if texts else {}
        image_id = secrets.token_hex(32)
        text: dict[str, Any] = {
            "id": image_id,
            **parent,
            "created": "2015-03-20T18:03:00.123456789Z",
            "container_config": {"Cmd": ["/bin/sh", "-c", "#(nop) ADD file in /"]},
            "docker_version": "1.5.0",
            "config": {"Cmd": ["/bin/sh"]},
            "architecture": "amd64",
            "os": "linux",
        }
        texts[image_id] = json.dumps(text).encode()
    return texts


def write_v1_image(data: Path, name: str, tag: str, layers: Sequence[bytes]) -> list[Path]:
    """Writes an image as docker-registry 0.9.1 leaves it below its root; returns the files of its layers."""
    texts, files = v1_texts(len(layers)), list[Path]()
    for number, ((image_id, text), layer) in enumerate(zip(texts.items(), layers, strict=True), start=1):
        folder = data / "images" / image_id
        folder.mkdir(parents=True)
        (folder / "json").write_bytes(text)
        (folder / "ancestry").write_text(json.dumps(list(texts)[:number][::-1]))
        (folder / "_checksum").write_text(json.dumps([_digest(text + b"\n" + layer)]))
        files.append(folder / "layer")
        files[-1].write_bytes(layer)
    folder = data / "repositories" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"tag{tag}_json").write_text("{}")
    (folder / f"tag_{tag}").write_text(list(texts)[-1])
    return files


def _bare(verb: str, files: Sequence[Path], layers: Sequence[Layer]) -> float:
    """Returns the CPU of a bare loop over files, in a process of its own."""
    found = json.loads(subprocess.check_output([sys.executable, "-m", "bench.bare", verb, *map(str, files)], cwd=_ROOT))
    if found["held"] != [layer.diff_id for layer in layers] * (len(files) // len(layers)):
        raise Hindrance("the bare loop has found another content than there is")
    return float(found["cpu"])


def _required(status: int, right: set[int], said: bytes, what: str) -> bytes:
    if status not in right:
        raise Hindrance(f"{what} was answered with {status}: {said[:300]!r}")
    return said


def _blob_file(data: Path, digest: str) -> Path:
    name = digest.partition(":")[2]
    return data / "docker/registry/v2/blobs/sha256" / name[:2] / name / "data"


def _descriptor(content: bytes, media_type: str) -> dict[str, str | int]:
    return {"mediaType": media_type, "size": len(content), "digest": _digest(content)}


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
