"""Whether a folder is there, where nobody has opened a storage that would say why it cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

from portside.problems import Problem


def is_folder(path: Path) -> bool:
    """Whether there is a folder.

    Raises:
        Problem: nobody can tell: what it lies in may not be searched, or the disk fails.
    """
    try:
        return path.is_dir()
    except OSError as error:
        mend = f"; run this as the registry's user, or let uid {os.geteuid()} read it"
        raise Problem(
            f"{path} cannot be read: {error.strerror}{mend if isinstance(error, PermissionError) else ''}"
        ) from None
