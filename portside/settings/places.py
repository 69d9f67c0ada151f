"""Which settings file is read: the one that is named, else by `REGISTRY_CONFIGURATION_PATH`, else the first of a list.

The list is `PORTSIDE_CONFIG_PATHS`, paths with colons between them. The image names distribution's two places there
(CONFIG_SCHEMA section 3), so that a file that is mounted for registry:2 or registry:3 is read. Elsewhere a file in
these places may be that of another registry on the same machine, Debian's for example: it is only named at start.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

NAMED = "REGISTRY_CONFIGURATION_PATH"
LISTED = "PORTSIDE_CONFIG_PATHS"
DOCKER_REGISTRY_S_VOLUME = "/tmp/registry"  # noqa: S108 - where its image kept the data
DISTRIBUTION_S = ("/etc/distribution/config.yml", "/etc/docker/registry/config.yml")


def settings_path(environment: Mapping[str, str]) -> Path | None:
    """Returns the file that is read where no argument names one; None for none."""
    named = environment.get(NAMED)
    if named:
        return Path(named)
    return next((Path(each) for each in _listed(environment) if _may_be_there(each)), None)


def unread(source: Path | None, environment: Mapping[str, str], *, named: bool) -> Iterator[str]:
    """Yields a sentence for each file that somebody may have expected to be read, and that was not.

    Args:
        source: the file that was read.
        environment: all variables.
        named: whether an argument or a variable named it, so that nobody expects another.
    """
    if named:
        return
    for each in dict.fromkeys((*_listed(environment), *DISTRIBUTION_S)):
        if Path(each) != source and os.path.exists(each):  # noqa: PTH110 - as text
            instead = f", but {source}" if source is not None else ""
            yield f"{each} is there and was not read{instead}: to have it read, name it as the argument"


def unserved(roots: Iterable[str], *, volume: str = DOCKER_REGISTRY_S_VOLUME) -> Iterator[str]:
    """Yields a sentence where docker-registry's images are in the place that its image had for them, and not served.

    Args:
        roots: the folders that are.
        volume: the place.
    """
    if os.path.isdir(f"{volume}/images") and Path(volume) not in map(Path, roots):  # noqa: PTH112 - as text
        yield (
            f"{volume} holds images of docker-registry and is not served: if they are meant, set SETTINGS_FLAVOR=dev,"
            " as its image had it, or name the folder with --data"
        )


def _may_be_there(path: str) -> bool:
    """Whether a file is there, or in a folder that cannot be looked into: without it others might be let in."""
    try:
        os.stat(path)  # noqa: PTH116 - as text
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:  # reading it will say why
        return True
    return True


def _listed(environment: Mapping[str, str]) -> list[str]:
    return [each for each in environment.get(LISTED, "").split(":") if each]
