"""A request's target without what would open a door to a reader of the log. PURE."""

from __future__ import annotations

import re
from urllib.parse import unquote

MASK = "***"
LONGEST = 2048

_USER = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#]*@")
"""Name and password in a target that is a whole URL, as clients send it to a proxy."""
_SEPARATOR = re.compile(r"([&;?])")
# An upload's state, tokens, what signs URLs (Amazon's, Google's, Azure's, CloudFront's), and what else names a secret.
_SECRET = re.compile(
    r"state|token|passw|pwd|secret|sig|key|cred|code|assert|auth|sess|jwt|policy|ticket|login|nonce", re.IGNORECASE
)


def masked(target: str, *, longest: int = LONGEST) -> str:
    """Returns the beginning of a target whose secrets are masked: a URL's user, and parameters with a secret's name."""
    path, mark, query = target.partition("?")
    if "@" in path:
        path = _USER.sub(rf"\1{MASK}@", path)
    path = path[:longest]
    if not mark or len(path) == longest:
        return path
    return f"{path}?{''.join(map(_shown, _SEPARATOR.split(query[:longest])))}"[:longest]


def _shown(parameter: str) -> str:
    name, mark, _ = parameter.partition("=")
    return f"{name}={MASK}" if mark and _SECRET.search(unquote(name) if "%" in name else name) else parameter
