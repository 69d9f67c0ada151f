"""How others make v1 images of schema 2: distribution's and skopeo's rule, and `docker save`'s (FORMATS 3.5, 4.3).

Computed from the specification with the standard library, not with Portside's code.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from tests.support.schema1 import Entry, go_json

EMPTY_BLOB = "a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
_SAVED = (
    "comment",
    "created",
    "container",
    "container_config",
    "docker_version",
    "author",
    "config",
    "architecture",
    "os",
)


def distribution_entries(config: bytes, layers: Sequence[str]) -> list[Entry]:
    """The schema 1 entries that distribution and skopeo make, from the top to the base; `layers` from the base."""
    document = json.loads(config)
    blobs = iter(layers)
    entries: list[Entry] = []
    parent = ""
    for number, step in enumerate(document["history"], start=1):
        empty = step.get("empty_layer", False)
        blob = f"sha256:{EMPTY_BLOB}" if empty else next(blobs)
        is_top = number == len(document["history"])
        image_id = _hex(f"{blob.partition(':')[2]} {parent}".encode() + (b" " + config if is_top else b""))
        said: dict[str, Any] = {
            "id": image_id,
            "parent": parent,
            "comment": step.get("comment"),
            "created": step["created"],
        }
        if is_top:
            top = {key: value for key, value in document.items() if key not in {"rootfs", "history"}}
            said = {**top, "id": image_id, "parent": parent, "throwaway": empty}
        else:
            said |= {
                "container_config": {"Cmd": [step.get("created_by", "")]},
                "author": step.get("author"),
                "throwaway": empty,
            }
        left = {
            key: value
            for key, value in said.items()
            if value or key not in {"parent", "comment", "author", "throwaway"}
        }
        entries.append(Entry(blob, go_json(dict(sorted(left.items())) if is_top else left)))
        parent = image_id
    return entries[::-1]


def saved_ids(config: bytes) -> list[str]:
    """The ids that `docker save` of 20.10 gives the layers of an image, from the base to the top."""
    document = json.loads(config)
    diff_ids: list[str] = document["rootfs"]["diff_ids"]
    nothing: dict[str, object] = {
        **dict.fromkeys(("Hostname", "Domainname", "User"), ""),
        **dict.fromkeys(("AttachStdin", "AttachStdout", "AttachStderr", "Tty", "OpenStdin", "StdinOnce"), False),
        "Env": None,
        "Cmd": None,
        "Image": "",
        "Volumes": None,
        "WorkingDir": "",
        **dict.fromkeys(("Entrypoint", "OnBuild", "Labels")),
    }
    ids: list[str] = []
    chain = ""
    for number, diff_id in enumerate(diff_ids, start=1):
        chain = f"sha256:{_hex(f'{chain} {diff_id}'.encode())}" if chain else diff_id
        said: dict[str, Any] = {"container_config": nothing, "created": "1970-01-01T00:00:00Z"}
        if number == len(diff_ids):
            said = {key: document[key] for key in _SAVED if key in document}
        said["layer_id"] = chain
        if ids:
            said["parent"] = f"sha256:{ids[-1]}"
        ids.append(_hex(go_json(dict(sorted(said.items()))).encode()))
    return ids


def _hex(content: bytes) -> str:
    return sha256(content).hexdigest()
