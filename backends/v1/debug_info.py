"""What `_ping` tells of the program and its host where `gateway.v1.debug` is on, in docker-registry's shape.

It tells strangers much, so it is said at start that it is on.
"""

from __future__ import annotations

import platform
import sys
from typing import Any


def debug_info() -> dict[str, Any]:
    """Returns the host's names, the command line, and the versions of all that is loaded."""
    versions = {
        name: version
        # A module may make its version when it is asked for it, so only what is there is looked at.
        for name, module in sorted(sys.modules.items())
        if not name.startswith("_") and isinstance(version := vars(module).get("__version__"), str)
    }
    return {"host": list(platform.uname()), "launch": sys.argv, "versions": {**versions, "python": sys.version}}
