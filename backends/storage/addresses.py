"""Addresses at which others serve the files of a storage: distribution's middleware of that name. PURE.

Each step is what the file lists below `middleware.storage`; together they are applied in order, to the address that
the step before has given (distribution wraps its driver in the same order). The forms are distribution 3's to the
letter, for caches in front know them already:
- `redirect`: a base address and the path of the file below the storage's root;
- `cloudfront`: the same, with a signature that Amazon's CloudFront checks until it expires (RSA with SHA-1 over a
  canned policy, which is CloudFront's own choice);
- `rewrite`: another scheme, another host, without a prefix of the path.
"""

from __future__ import annotations

import json
import posixpath
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

CLOUDFRONT_SECONDS = 20 * 60.0
_PATH = "/:@!$&'()*+,;=~"
"""What stays as it is in a path, beside letters, digits and `_.-`."""
_SIGNATURE = bytes.maketrans(b"+=/", b"-_~")


@dataclass(frozen=True, slots=True)
class Redirect:
    """Files are below a base address.

    Attributes:
        base: scheme, host and path; of anything else in it distribution takes no notice.
    """

    base: str


@dataclass(frozen=True, slots=True)
class Cloudfront:
    """Files are below a base address, which CloudFront serves to whom a signed address was given.

    Attributes:
        base: as it is written in the file; `https://` is added where it has no scheme.
        key: the file of an RSA key, in PEM.
        key_pair_id: how CloudFront knows the key.
        seconds: how long an address is good for.
    """

    base: str
    key: Path
    key_pair_id: str
    seconds: float = CLOUDFRONT_SECONDS


@dataclass(frozen=True, slots=True)
class Rewrite:
    """Changes the address that the step before has given; "" leaves a part as it is."""

    scheme: str = ""
    host: str = ""
    trim_path_prefix: str = ""


Step = Redirect | Cloudfront | Rewrite


def redirected(step: Redirect, path: str) -> str:
    """Returns the address of a file by its path below the storage's root."""
    base = urlsplit(step.base)
    below = unquote(base.path)
    joined = "/" + posixpath.normpath(f"{below}/{path}").lstrip("/") if below else path
    return urlunsplit((base.scheme, base.netloc.rpartition("@")[2], quote(joined, _PATH), "", ""))


def rewritten(step: Rewrite, url: str) -> str:
    """Returns an address with the parts that the step changes."""
    parts = urlsplit(url)
    path = parts.path.removeprefix(step.trim_path_prefix)
    if path and not path.startswith("/"):
        path = f"/{path}"
    return urlunsplit((step.scheme or parts.scheme, step.host or parts.netloc, path, parts.query, parts.fragment))


def cloudfront_address(step: Cloudfront, path: str) -> str:
    """Returns the address of a file by its path, without its signature."""
    base = step.base if "://" in step.base else f"https://{step.base}"
    return f"{base}{'' if base.endswith('/') else '/'}{path.lstrip('/')}"


def canned_policy(url: str, expires: int) -> bytes:
    """Returns what is signed of an address: that it is good until then, in seconds since 1970 (CloudFront's guide)."""
    condition = {"DateLessThan": {"AWS:EpochTime": expires}}
    statement = {"Resource": url, "Condition": condition}
    return json.dumps({"Statement": [statement]}, separators=(",", ":"), ensure_ascii=False).encode()


def with_signature(url: str, expires: int, *, signature: bytes, key_pair_id: str) -> str:
    """Returns a signed address."""
    mark = "&" if "?" in url else "?"
    shown = b64encode(signature).translate(_SIGNATURE).decode("ascii")
    return f"{url}{mark}Expires={expires}&Signature={shown}&Key-Pair-Id={key_pair_id}"
