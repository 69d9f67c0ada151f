"""Whether there is anything of docker-registry's: in the environment, and in a file, by its shape. PURE.

docker-registry's file holds flavors, distribution's and Portside's hold sections. Nothing else of this folder is
imported where there is none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What no section of distribution's or Portside's has, and what stands in every file of docker-registry that starts.
_KEY_OF_A_FLAVOR = "storage"
_OF_A_FLAVOR_ALONE = frozenset(
    {"storage_path", "search_backend", "index_endpoint", "sqlalchemy_index_database", "cache_lru", "email_exceptions"}
)
_PREFIXES = ("GUNICORN_", "MIRROR_", "CORS_", "CACHE_", "SMTP_", "NEW_RELIC_")
_VARIABLES = frozenset(
    {
        "DOCKER_REGISTRY_CONFIG", "SETTINGS_FLAVOR", "REGISTRY_HOST", "REGISTRY_PORT", "LOGLEVEL", "DEBUG", "BUGSNAG",
        "STANDALONE", "INDEX_ENDPOINT", "STORAGE_REDIRECT", "DISABLE_TOKEN_AUTH", "PRIVILEGED_KEY", "SEARCH_BACKEND",
        "STORAGE_PATH", "SQLALCHEMY_INDEX_DATABASE", "REGISTRY_ADDRESS",
    }
)  # fmt: skip


def has_variables(environment: Mapping[str, str]) -> bool:
    """Whether some variable has a name that docker-registry knows."""
    return any(name in _VARIABLES or name.startswith(_PREFIXES) for name in environment)


_PLACE = "STORAGE_PATH"
# No other program's variables have these names, or it would be unsafe to pass them over.
_MEANT = ("DOCKER_REGISTRY_CONFIG", "SETTINGS_FLAVOR", "STANDALONE", "MIRROR_SOURCE")


def is_meant(environment: Mapping[str, str]) -> bool:
    """Whether docker-registry's settings are meant where its registry is one beside others, and no file is read."""
    return any(name in environment for name in _MEANT) or bool(environment.get(_PLACE))


def is_docker_registry_s(raw: Mapping[Any, Any]) -> bool:
    """Whether the parsed file is docker-registry's.

    A flavor is a top-level key whose section names a storage by a word (`dev: {storage: local}`), or has a key that
    only docker-registry knows. A file without flavors, for an empty `SETTINGS_FLAVOR`, has such a key at the top.
    """
    if not _OF_A_FLAVOR_ALONE.isdisjoint(raw):
        return True
    sections = [part for name, part in raw.items() if isinstance(part, Mapping) and name != "middleware"]
    return any(
        isinstance(part.get(_KEY_OF_A_FLAVOR), str) or not _OF_A_FLAVOR_ALONE.isdisjoint(part) for part in sections
    )
