"""Names that docker-registry 0.9.1 took for repositories and tags, and that others stumble over.

Each is as somebody means it; `in_url` has it as it stands in an address.
"""

from __future__ import annotations

from urllib.parse import quote

from backends.model.names import is_tag

OF_OLD_DOCKER = ["team/app_", "_app", "app-", "a..b", "x_.y", "team/_app", "team/-", "some_team/a__.__b"]
"""What Docker 1.0 to 1.5 let their users write, and v2 cannot have."""

NAMES = [
    *OF_OLD_DOCKER, "Team/App", "UPPER", "X", ".", "..", "../r", "./r", "team/..", "team/.", "team/...", "n s/r",
    "team/a b", "team/a+b", "team/a%20b", "team/a%2Bb", "team/100%", "team/%2E%2E", "a//b", "team/~x", "a~b/c",
    "team/a/B/c", "team/_index_images", "tag_/tag_x", "library/library/X", "we:ird/na@me", 'q"u,o;t/e=[]', "a/../../b",
    "r" * 254 + "_",
]  # fmt: skip

TAGS = [
    "latest", "A", "-x", ".x", "..", ".", "...", "a b", "a+b", "a%20b", "a%2Bb", "a%2Fb", "%", "~", "_x", "x_json",
    "_json", "_", "__x", "json", "tags", "a:b", "a@sha256:b", "x" * 200, 'q"uo', "a,b;c=d", "#", "?", "*", "\\",
    "tag_x", "1.0+build5", "auth", "properties", "images",
]  # fmt: skip

TAGS_OF_V1_ALONE = [tag for tag in TAGS if not is_tag(tag)]


def in_url(name: str) -> str:
    """A name as a part of an address; its slashes stay."""
    return quote(name, safe="/")
