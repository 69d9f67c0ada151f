"""The peers and the forms of Portside, each with its configuration written into a folder of its own."""

from __future__ import annotations

import getpass
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.contestants import HOST, Contestant, Credentials, free_port
from bench.floors import BEFORE, BEFORE_ROLES, DISTRIBUTION, PORTSIDE, REFERENCE, ROLES, STATIC
from bench.programs import Programs

RECIPE = r"""
        location /v2/ {
            if ($http_user_agent ~ "^(docker\/1\.(3|4|5(?!\.[0-9]-dev))|Go ).*$") {
                return 404;
            }
            add_header Docker-Distribution-Api-Version registry/2.0 always;
            proxy_pass http://127.0.0.1:@REGISTRY@;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 900;
        }
"""
FILES = """
        root @DATA@;
        location = /v2/ {
            try_files /v2/index.json =404;
        }
"""


def nginx_and_distribution(folder: Path, credentials: Credentials, programs: Programs) -> Contestant:
    """nginx by the guide's recipe in front of Debian's docker-registry with its default configuration."""
    registry = free_port()
    settings = {
        "version": 0.1,
        "log": {"fields": {"service": "registry"}},
        "storage": {
            "cache": {"blobdescriptor": "inmemory"},
            "filesystem": {"rootdirectory": str(folder / "data")},
            "delete": {"enabled": True},
        },
        "http": {"addr": f"{HOST}:{registry}", "headers": {"X-Content-Type-Options": ["nosniff"]}},
        "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
    }
    port = free_port()
    commands = {
        "docker-registry": (programs.docker_registry, "serve", _written(folder / "registry.yml", settings)),
        "nginx": _nginx(
            folder, credentials, programs, port=port, locations=RECIPE.replace("@REGISTRY@", f"{registry}")
        ),
    }
    return Contestant(REFERENCE, port, credentials, folder, folder / "data", commands)


def distribution(
    folder: Path, credentials: Credentials, programs: Programs, *, auth: Mapping[str, Any] | None = None
) -> Contestant:
    """distribution 3 with its own TLS and its default configuration; with access control, if any."""
    port = free_port()
    settings: dict[str, Any] = {
        **_storage(folder),
        "log": {"fields": {"service": "registry"}},
        "http": {**_front(port, credentials), "headers": {"X-Content-Type-Options": ["nosniff"]}},
        "health": {"storagedriver": {"enabled": True, "interval": "10s", "threshold": 3}},
    }
    if auth is not None:
        settings["auth"] = dict(auth)
    commands = {"registry": (programs.distribution, "serve", _written(folder / "registry.yml", settings))}
    return Contestant(DISTRIBUTION, port, credentials, folder, folder / "data", commands)


def static_files(folder: Path, credentials: Credentials, programs: Programs) -> Contestant:
    """nginx with the same bytes as files: the practical limit."""
    port, data = free_port(), folder / "data"
    (data / "v2").mkdir()
    (data / "v2/index.json").write_text("{}")
    nginx = _nginx(folder, credentials, programs, port=port, locations=FILES.replace("@DATA@", str(data)))
    return Contestant(STATIC, port, credentials, folder, data, {"nginx": nginx}, takes_pushes=False)


def portside(
    folder: Path,
    credentials: Credentials,
    programs: Programs,
    *,
    name: str = PORTSIDE,
    endpoints: Sequence[Mapping[str, Any]] = (),
    gateway: Mapping[str, Any] | None = None,
    auth: Mapping[str, Any] | None = None,
    authorization: str = "",
) -> Contestant:
    """Portside as it is by default: `serve`, everything in each worker; with endpoints of notifications, if any.

    Args:
        folder: its own.
        credentials: its certificate.
        programs: what is started.
        name: as in the table.
        endpoints: of notifications.
        gateway: further settings of that section.
        auth: that section, if any.
        authorization: what clients show it then.
    """
    port = free_port()
    own = {"v1": {"addr": f"{HOST}:0"}, "v2": {"addr": f"{HOST}:0"}, "metrics": {"addr": f"{HOST}:0"}}
    settings = {**_storage(folder), "http": _front(port, credentials), "gateway": {**own, **(gateway or {})}}
    if endpoints:
        settings["notifications"] = {"endpoints": [dict(each) for each in endpoints]}
    if auth is not None:
        settings["auth"] = dict(auth)
    command = (programs.portside, "serve", _written(folder / "serve.yml", settings))
    commands = {"serve": command}
    return Contestant(name, port, credentials, folder, folder / "data", commands, authorization=authorization)


def roles(folder: Path, credentials: Credentials, programs: Programs, *, name: str = ROLES) -> Contestant:
    """Portside as proxy, v1 and v2 in processes of their own, joined by unix sockets."""
    port = free_port()
    commands: dict[str, tuple[str, ...]] = {}
    upstreams: dict[str, Any] = {}
    for role in ("v1", "v2"):
        place = f"unix:{folder / role}.sock"
        # As compose/docker-compose.yml has it; an earlier build may not know it.
        shared = {"files": str(folder / "data")} if name == ROLES else {}
        settings = {**_storage(folder), "http": {"addr": place}, "gateway": {role: shared}}
        commands[role] = (programs.portside, role, _written(folder / f"{role}.yml", settings))
        upstreams[role] = {"upstream": place, **shared}
    settings = {"version": 0.1, "http": _front(port, credentials), "gateway": upstreams}
    commands["proxy"] = (programs.portside, "proxy", _written(folder / "proxy.yml", settings))
    return Contestant(name, port, credentials, folder, folder / "data", commands)


def _before(make: Callable[..., Contestant], name: str) -> Callable[[Path, Credentials, Programs], Contestant]:
    return lambda folder, credentials, programs: make(folder, credentials, programs.earlier(), name=name)


CONTESTANTS: Mapping[str, Callable[[Path, Credentials, Programs], Contestant]] = {
    REFERENCE: nginx_and_distribution,
    DISTRIBUTION: distribution,
    STATIC: static_files,
    PORTSIDE: portside,
    ROLES: roles,
    BEFORE: _before(portside, BEFORE),
    BEFORE_ROLES: _before(roles, BEFORE_ROLES),
}


def _one_worker_of_distribution(folder: Path, credentials: Credentials, programs: Programs) -> Contestant:
    made = distribution(folder, credentials, programs)
    made.commands = {name: ("env", "GOMAXPROCS=1", *command) for name, command in made.commands.items()}
    return made


def _one_worker_of_nginx(folder: Path, credentials: Credentials, programs: Programs) -> Contestant:
    made = static_files(folder, credentials, programs)
    configuration = folder / "nginx.conf"
    configuration.write_text(configuration.read_text().replace("worker_processes auto;", "worker_processes 1;"))
    return made


def _one_worker(name: str) -> Callable[[Path, Credentials, Programs], Contestant]:
    def make(folder: Path, credentials: Credentials, programs: Programs) -> Contestant:
        chosen = programs.earlier() if name == BEFORE else programs
        return portside(folder, credentials, chosen, name=name, gateway={"workers": 1})

    return make


WITH_ONE_WORKER: Mapping[str, Callable[[Path, Credentials, Programs], Contestant]] = {
    DISTRIBUTION: _one_worker_of_distribution,
    STATIC: _one_worker_of_nginx,
    PORTSIDE: _one_worker(PORTSIDE),
    BEFORE: _one_worker(BEFORE),
}
"""The same with one worker, where that can be set."""


def make_contestant(name: str, folder: Path, credentials: Credentials, programs: Programs) -> Contestant:
    """Makes a contestant by its name, in a new folder below `folder`."""
    own = folder / name
    (own / "data").mkdir(parents=True)
    return CONTESTANTS[name](own, credentials, programs)


def _storage(folder: Path) -> dict[str, Any]:
    return {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
    }


def _front(port: int, credentials: Credentials) -> dict[str, Any]:
    return {
        "addr": f"{HOST}:{port}",
        "tls": {"certificate": str(credentials.certificate), "key": str(credentials.key)},
    }


def _nginx(folder: Path, credentials: Credentials, programs: Programs, *, port: int, locations: str) -> tuple[str, ...]:
    text = (Path(__file__).parent / "nginx.conf.template").read_text()
    values = {
        "@LOCATIONS@": locations,
        "@USER@": getpass.getuser(),
        "@FOLDER@": str(folder),
        "@PORT@": str(port),
        "@CERTIFICATE@": str(credentials.certificate),
        "@KEY@": str(credentials.key),
    }
    for mark, value in values.items():
        text = text.replace(mark, value)
    path = folder / "nginx.conf"
    path.write_text(text)
    return (programs.nginx, "-c", str(path), "-p", str(folder))


def _written(path: Path, settings: Mapping[str, Any]) -> str:
    path.write_text(yaml.safe_dump(dict(settings), sort_keys=False))
    return str(path)
