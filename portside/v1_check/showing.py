"""What was found, as people read it and as JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from portside.v1_check.findings import Finding

_UNITS = ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def show_age(since: float) -> str:
    """Returns how long ago a time is: `2 days ago`."""
    seconds = max(0, int(time.time() - since))
    for size, unit in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "now"


def finding_line(finding: Finding, user: int) -> str:
    """Returns one line that says what is the matter and how it is mended; a name of a file may have several."""
    mend = finding.mending(user)
    level = "wrong" if finding.kind.is_wrong else "note"
    line = f"{level:5}  {finding.kind.text}: {finding.where} {finding.what}.{' ' + mend if mend else ''}"
    return line.replace("\n", "?")


def finding_facts(finding: Finding, user: int) -> Mapping[str, Any]:
    """Returns the same for machines."""
    return {
        "level": "wrong" if finding.kind.is_wrong else "note",
        "kind": finding.kind.text,
        "where": finding.where,
        "what": finding.what,
        "mend": finding.mending(user) or None,
    }


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Returns how many there are of what a noun names; its plural, where that is not the noun with an s."""
    return f"{count} {noun if count == 1 else plural or f'{noun}s'}"
