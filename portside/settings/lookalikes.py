"""Unknown keys that look like one that protects, or that says where data is: they keep Portside from starting.

distribution ignores `http.clientcas` and `oauth:` in silence, and then everyone is let in; a misspelt `storage:` would
have images go to another disk than was meant. A key that nobody knows is otherwise only named at start. PURE.
"""

from __future__ import annotations

# Each with the place where it belongs.
_PROTECTING = {
    "auth": "auth",
    "access": "gateway.access",
    "clientcas": "http.tls.clientcas or gateway.tls.clientcas",
    "clientauth": "http.tls.clientauth or gateway.tls.clientauth",
    "minimumtls": "http.tls.minimumtls or gateway.tls.minimumtls",
    "ciphersuites": "http.tls.ciphersuites or gateway.tls.ciphersuites",
    "certificate": "http.tls.certificate",
    "certificates": "gateway.tls.certificates",
    "tls": "http.tls or gateway.tls",
    "readonly": "storage.maintenance.readonly",
    "storage": "storage",
    "rootdirectory": "storage.filesystem.rootdirectory",
}
_LONG = 8


def protecting_key(key: str) -> str:
    """Returns the path of the setting that an unknown key probably means, when it must not be missed; else ""."""
    if key.lower().startswith("x-"):  # where files keep what they refer to by anchors
        return ""
    bare = key.lower().replace("_", "").replace("-", "")
    for known, place in _PROTECTING.items():
        allowed = 2 if len(known) >= _LONG else 1 if known != "tls" else 0
        if edits(bare, known) <= allowed:
            return place
    return ""


def edits(one: str, other: str) -> int:
    """Returns how many letters were added, left out, replaced, or swapped with their neighbour."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, 1):
        above, earlier = row, before
        row = [i]
        for j, wanted in enumerate(other, 1):
            cost = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (letter != wanted))
            if i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
        before = above
    return row[-1]
