"""Small images with real layers, in the three shapes that Docker has given an image.

An image is a list of layers, base first. Seen by docker ≤ 1.9 it is a chain of v1 images (random ids, one JSON
each), by 1.10 and later a configuration and blobs; pushed by 1.10+ to a v1 registry it is a chain again, with
ids made of digests (FORMATS sections 1.1 and 1.4). Everything is a function of the seed, so two runs agree and
two tests never share a layer unless they mean to.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from tests.support.layers import is_empty
from tests.support.schema1 import go_json

EMPTY_TAR = bytes(1024)
EMPTY_LAYER = bytes.fromhex("1f8b080000096e8800ff621805a360148c5800080000ffff2eafb5ef00040000")
"""What Docker 1.3 and later send for a step that changed no file: the same bytes for ever (FORMATS section 1.4)."""
_NOTHING = bytes.fromhex("1f8b080000096e8800ff010000ffff0000000000000000")
_MTIME = 1_420_070_400
_CREATED = "2015-01-01T00:00:00Z"


def digest_of(data: bytes) -> str:
    """``sha256:`` and the hexadecimal digest of `data`."""
    return "sha256:" + sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its uncompressed tar and the build step that made it."""

    tar: bytes
    command: str

    @property
    def diff_id(self) -> str:
        return digest_of(self.tar)

    @property
    def files_size(self) -> int:
        """Bytes of its files, as docker counts a layer: none where it has only folders, links and whiteouts."""
        if self.is_empty:
            return 0
        with tarfile.open(fileobj=io.BytesIO(self.tar), mode="r:") as archive:
            return sum(entry.size for entry in archive)

    @property
    def is_empty(self) -> bool:
        """A build step that changed no file."""
        return is_empty(self.tar)

    @property
    def packed(self) -> bytes:
        """The gzip that goes over the wire: no name, no time, so the same bytes each time."""
        if self.is_empty:
            return EMPTY_LAYER
        return gzip.compress(self.tar, compresslevel=6, mtime=0)

    def packed_without_end(self) -> bytes:
        """As docker 1.0.1 sends it: the tar without its closing zero blocks, an empty layer as nothing at all."""
        if self.is_empty:
            return _NOTHING
        return gzip.compress(_without_closing_blocks(self.tar), compresslevel=6, mtime=0)


@dataclass(frozen=True, slots=True)
class V1Image:
    """One image of a v1 chain: what is PUT for it."""

    id: str
    json: bytes
    layer: bytes


@dataclass(frozen=True, slots=True)
class Image:
    """An image, base layer first."""

    layers: tuple[Layer, ...]
    seed: str

    @property
    def stored_layers(self) -> tuple[Layer, ...]:
        """The layers that docker 1.10 and later store: a step that changed no file has none."""
        return tuple(layer for layer in self.layers if not layer.is_empty)

    def parent(self) -> Image:
        """The image without its top layer; it shares ids and blobs with this one."""
        return Image(self.layers[:-1], self.seed)

    def v1_chain(self, *, final_newline: bool, closing_blocks: bool) -> tuple[V1Image, ...]:
        """The chain of docker ≤ 1.9, base first.

        Args:
            final_newline: 1.5 and later re-marshal the JSON, which leaves a newline at its end.
            closing_blocks: 1.0.1 sends tars without the two closing blocks.
        """
        chain: list[V1Image] = []
        for layer in self.layers:
            parent = chain[-1].id if chain else ""
            image_id = sha256(f"v1 {self.seed} {parent} {layer.diff_id}".encode()).hexdigest()
            text = go_json(_v1_json(image_id, parent, layer))
            packed = layer.packed if closing_blocks else layer.packed_without_end()
            chain.append(V1Image(image_id, (text + "\n" * final_newline).encode(), packed))
        return tuple(chain)

    def digest_chain(self) -> tuple[V1Image, ...]:
        """The chain that docker ≥ 1.10 makes up to push to a v1 registry, base first."""
        chain: list[V1Image] = []
        chain_id = ""
        for position, layer in enumerate(self.stored_layers):
            link = f"{chain_id} {layer.diff_id}"
            chain_id = digest_of(link.encode()) if position else layer.diff_id
            top = position == len(self.stored_layers) - 1
            image_id = (digest_of(self.config()) if top else chain_id).removeprefix("sha256:")
            fields: dict[str, Any] = {"id": image_id}
            if chain:
                fields["parent"] = chain[-1].id
            if top:
                config = json.loads(self.config())
                kept = {key: value for key, value in config.items() if key not in {"rootfs", "history"}}
                fields = dict(sorted({**kept, **fields}.items()))
            chain.append(V1Image(image_id, go_json(fields).encode(), layer.packed))
        return tuple(chain)

    def config(self) -> bytes:
        """The configuration blob of schema 2."""
        top = _v1_json("", "", self.layers[-1])
        kept = {key: value for key, value in top.items() if key not in {"id", "parent", "Size"}}
        history = [
            {
                "created": _CREATED,
                "created_by": f"/bin/sh -c {layer.command}",
                **({"empty_layer": True} if layer.is_empty else {}),
            }
            for layer in self.layers
        ]
        rootfs = {"type": "layers", "diff_ids": [layer.diff_id for layer in self.stored_layers]}
        return go_json(dict(sorted({**kept, "history": history, "rootfs": rootfs}.items()))).encode()


@dataclass(frozen=True, slots=True)
class Pulled:
    """A reference as a client pulled it.

    Attributes:
        tag: The tag, or the digest that was asked for.
        metadata: The v1 JSON of each image, base first; or the one configuration of schema 2.
        layers: The layers' bytes as they came, base first.
        digest: The manifest's digest; None from a v1 registry.
    """

    tag: str
    metadata: tuple[bytes, ...]
    layers: tuple[bytes, ...]
    digest: str | None = None


def make_image(seed: str, *, layers: int = 3, big_file_bytes: int = 5000) -> Image:
    """An image of `layers` layers with directories, files, links and a whiteout; all unlike any other seed's.

    Args:
        big_file_bytes: Size of an incompressible file in the second layer (or the only one).
    """
    steps: list[Layer] = []
    for number in range(layers):
        files: dict[str, bytes] = {f"etc/{seed.replace('/', '-')}-{number}": f"{seed} {number}\n".encode()}
        if number == min(1, layers - 1):
            files["srv/noise"] = _noise(f"{seed} {number}", big_file_bytes)
        if number == 2:
            files["etc/.wh.old"] = b""
        steps.append(Layer(_tar(files), f"echo {number} && true > <{seed}>"))
    return Image(tuple(steps), seed)


def make_built_image(seed: str) -> Image:
    """An image with all that builds do: links, folders alone, files and folders that a later step removes or hides,
    and steps that change no file, the last among them.
    """
    mark = f"{seed}\n".encode()
    steps: list[tuple[str, dict[str, bytes], dict[str, str | None]]] = [
        (
            "ADD base",
            {"etc/gone": b"1", "etc/mark": mark, "opt/old/a": b"a", "opt/old/b": b"b", "srv/kept": b"k" * 700},
            {"etc/hard": "etc/mark"},
        ),
        ("ENV A=1", {}, {}),
        ("mkdir -p /var/empty/deep", {}, {"var/empty/deep": None}),
        ("rm -r", {"etc/.wh.gone": b"", "opt/old/.wh..wh..opq": b"", "opt/old/c": mark}, {}),
        ("dd noise", {"srv/noise": _noise(seed, 5000), "srv/.wh.kept": b""}, {}),
        ("CMD run <it> & more", {}, {}),
    ]
    return Image(tuple(Layer(_built_tar(files, more), command) for command, files, more in steps), seed)


def _built_tar(files: Mapping[str, bytes], more: Mapping[str, str | None]) -> bytes:
    """A tar of files with their folders, and of hard links (path → target) and folders alone (path → None)."""
    if not files and not more:
        return EMPTY_TAR
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        parts = [path.split("/") for path in [*(path.rpartition("/")[0] for path in files), *more]]
        for folder in sorted({"/".join(each[:depth]) for each in parts for depth in range(1, len(each) + 1)} - {*more}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o750, _MTIME
            archive.addfile(entry)
        for path, content in files.items():
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime, entry.mode, entry.uid = len(content), _MTIME, 0o640, 33
            archive.addfile(entry, io.BytesIO(content))
        for path, target in more.items():
            entry = tarfile.TarInfo(path)
            entry.type = tarfile.DIRTYPE if target is None else tarfile.LNKTYPE
            entry.mtime, entry.linkname = _MTIME, target or ""
            archive.addfile(entry)
    return _without_closing_blocks(buffer.getvalue()) + EMPTY_TAR


def _tar(files: dict[str, bytes]) -> bytes:
    """A ustar with its directories, the files and one symbolic link, and two closing blocks."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in sorted({name.rpartition("/")[0] for name in files}):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode, entry.mtime = tarfile.DIRTYPE, 0o755, _MTIME
            archive.addfile(entry)
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime = len(content), _MTIME
            archive.addfile(entry, io.BytesIO(content))
        link = tarfile.TarInfo("latest")
        link.type, link.linkname, link.mtime = tarfile.SYMTYPE, next(iter(files)), _MTIME
        archive.addfile(link)
    return _without_closing_blocks(buffer.getvalue()) + bytes(1024)


def _without_closing_blocks(tar: bytes) -> bytes:
    end = len(tar.rstrip(b"\0"))
    return tar[: -(-end // 512) * 512]


def _noise(seed: str, size: int) -> bytes:
    blocks = (sha256(f"{seed} {number}".encode()).digest() for number in range(-(-size // 32)))
    return b"".join(blocks)[:size]


def _v1_json(image_id: str, parent: str, layer: Layer) -> dict[str, Any]:
    """The fields in the order of docker's Go structs (FORMATS section 1.1)."""
    config = {
        "Hostname": "", "Domainname": "", "User": "", "Memory": 0, "MemorySwap": 0, "CpuShares": 0, "Cpuset": "",
        "AttachStdin": False, "AttachStdout": False, "AttachStderr": False, "PortSpecs": None,
        "ExposedPorts": None, "Tty": False, "OpenStdin": False, "StdinOnce": False, "Env": ["A=1 <x>"],
        "Cmd": ["/bin/sh", "-c", layer.command], "Image": "", "Volumes": None, "WorkingDir": "",
        "Entrypoint": None, "NetworkDisabled": False, "MacAddress": "", "OnBuild": [],
    }  # fmt: skip
    return {
        "id": image_id,
        **({"parent": parent} if parent else {}),
        "created": _CREATED,
        "container_config": config,
        "docker_version": "1.5.0",
        "author": "Joe",
        "config": config,
        "architecture": "amd64",
        "os": "linux",
        "Size": layer.files_size,
    }
