"""What holds without a file: the settings of the official image, by variables.

The image's file is docker-registry's own example. What is here of it are its variables, their defaults and the names of
its flavors (V1FEATURES), in the same form as a file, so that file and variables go one way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portside.settings.docker_registry.document import Entry

USUAL_FLAVOR = "dev"
# Names that the image knew, from which a relative DOCKER_REGISTRY_CONFIG counts.
FOLDER = "/docker-registry/config"
FILE = "config_sample.yml"
OTHER_STORAGES: Mapping[str, str] = {
    **dict.fromkeys(("s3", "prod", "cloudfronts3", "ceph-s3"), "s3"),
    **dict.fromkeys(("glance", "openstack", "glance-swift", "openstack-swift"), "glance"),
    **{name: name for name in ("azureblob", "gcs", "swift", "elliptics", "oss")},
}
"""Flavors that keep their data elsewhere, each with its storage."""


def _variables(prefix: str, names: Mapping[str, str | None]) -> dict[str, str]:
    """Returns `_env:` values of a section: keys with the default of each variable."""
    return {
        key: f"_env:{prefix}{key.removeprefix('smtp_').upper()}" + (f":{default}" if default is not None else "")
        for key, default in names.items()
    }


_COMMON: Mapping[str, Any] = {
    "issue": '"docker-registry server"',
    "loglevel": "_env:LOGLEVEL:info",
    "debug": "_env:DEBUG:false",
    "standalone": "_env:STANDALONE:true",
    "index_endpoint": "_env:INDEX_ENDPOINT:https://index.docker.io",
    "storage_redirect": "_env:STORAGE_REDIRECT",
    "disable_token_auth": "_env:DISABLE_TOKEN_AUTH",
    "privileged_key": "_env:PRIVILEGED_KEY",
    "search_backend": "_env:SEARCH_BACKEND",
    "sqlalchemy_index_database": "_env:SQLALCHEMY_INDEX_DATABASE:sqlite:////tmp/docker-registry.db",
    "mirroring": _variables("MIRROR_", {"source": None, "source_index": None, "tags_cache_ttl": "172800"}),
    "cache": _variables("CACHE_REDIS_", {"host": None, "port": None, "db": "0", "password": None}),
    "cache_lru": _variables("CACHE_LRU_REDIS_", {"host": None, "port": None, "db": "0", "password": None}),
    "email_exceptions": _variables(
        "SMTP_",
        {
            "smtp_host": None,
            "smtp_port": "25",
            "smtp_login": None,
            "smtp_password": None,
            "smtp_secure": "false",
            "from_addr": "docker-registry@localdomain.local",
            "to_addr": "noise+dockerregistry@localdomain.local",
        },
    ),
    "bugsnag": "_env:BUGSNAG",
    "cors": _variables(
        "CORS_",
        {
            "origins": None,
            "methods": None,
            "headers": "[Content-Type]",
            **dict.fromkeys(
                (
                    "expose_headers",
                    "supports_credentials",
                    "max_age",
                    "send_wildcard",
                    "always_send",
                    "automatic_options",
                    "vary_header",
                    "resources",
                )
            ),
        },
    ),
}
_LOCAL = {**_COMMON, "storage": "local", "storage_path": "_env:STORAGE_PATH:/tmp/registry"}
_DEV = {
    **_LOCAL,
    "loglevel": "_env:LOGLEVEL:debug",
    "debug": "_env:DEBUG:true",
    "search_backend": "_env:SEARCH_BACKEND:sqlalchemy",
}
_FLAVORS: Mapping[str, Mapping[str, Any]] = {
    # It names no storage there, so nobody has run it; what it would do with one is what `local` does.
    "common": _LOCAL,
    "local": _LOCAL,
    "dev": _DEV,
    "test": {
        **_DEV,
        "index_endpoint": "https://registry-stage.hub.docker.com",
        "standalone": True,
        "storage_path": "_env:STORAGE_PATH:./tmp/test",
    },
    **{name: {**_COMMON, "storage": storage} for name, storage in OTHER_STORAGES.items()},
}


def official_settings() -> dict[Any, Entry]:
    """Returns the flavors, as the file would hold them."""
    return {name: Entry(_entries(flavor), 0) for name, flavor in _FLAVORS.items()}


def _entries(section: Mapping[str, Any]) -> dict[Any, Entry]:
    return {key: Entry(_entries(part) if isinstance(part, Mapping) else part, 0) for key, part in section.items()}
