"""`portside serve`, `proxy`, `v1` and `v2`: the commands that run servers."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path
from typing import Any

import click

from portside.commands.options import ADDR, CONFIG, DATA, WORKERS, fail, options
from portside.commands.running_group import RunningGroup

_UNIX = click.option("--unix", metavar="PATH", help="A unix socket to listen on too.")
_FRONT = options(
    click.option(
        "--certs", metavar="FOLDER", help="Certificates; a CA and one are made if there are none.  [default: certs]"
    ),
    click.option("--name", "names", metavar="NAME", multiple=True, help="One more name in a certificate that is made."),
    click.option("--plain", metavar="ADDRESS", help="A further address without TLS, for a load balancer that ends it."),
)


@click.command(short_help="Everything: the proxy and both registries.")
@options(CONFIG, ADDR, DATA, WORKERS, _FRONT)
def serve(
    config: Path | None,
    addr: str | None,
    data: str | None,
    workers: int | None,
    certs: str | None,
    names: tuple[str, ...],
    plain: str | None,
) -> None:
    """Run everything in each process: the proxy on :5000, and the v1 and v2 registries behind it.

    Without a CONFIG it speaks TLS on all addresses, makes its certificate, and keeps its data in ./data.
    """
    _run("serve", config, addr=addr, data=data, workers=workers, **_front(certs, names, plain))


@click.command(short_help="Only the proxy, in front of registries elsewhere.")
@options(
    CONFIG,
    ADDR,
    click.option("--v1", "v1_upstream", metavar="PLACE", help="The v1 registry: unix:/path or http://host:port."),
    click.option("--v2", "v2_upstream", metavar="PLACE", help="The v2 registry, likewise."),
    WORKERS,
    _FRONT,
)
def proxy(
    config: Path | None,
    addr: str | None,
    v1_upstream: str | None,
    v2_upstream: str | None,
    workers: int | None,
    certs: str | None,
    names: tuple[str, ...],
    plain: str | None,
) -> None:
    """Run only the proxy, in front of registries in other processes or of other makers."""
    upstreams = {"gateway.v1.upstream": v1_upstream, "gateway.v2.upstream": v2_upstream}
    _run("proxy", config, addr=addr, data=None, workers=workers, **upstreams, **_front(certs, names, plain))


@options(CONFIG, ADDR, _UNIX, DATA, WORKERS)
def _run_v1(config: Path | None, addr: str | None, unix: str | None, data: str | None, workers: int | None) -> None:
    _run("v1", config, addr=addr, data=data, workers=workers, **{"gateway.v1.unix": unix})


v1 = RunningGroup(
    _run_v1,
    {
        "check": ("portside.commands.v1", "check"),
        "config": ("portside.commands.v1_config", "config"),
        "rename": ("portside.commands.v1", "rename"),
    },
    name="v1",
    short_help="Only the v1 registry (docker-registry 0.9.1's).",
    help="""Run only the v1 registry: docker-registry 0.9.1's protocol and volume, by default on 127.0.0.1:5081.

    CONFIG may be docker-registry's own file. Its variables have effect: SETTINGS_FLAVOR, DOCKER_REGISTRY_CONFIG,
    STORAGE_PATH, REGISTRY_HOST, REGISTRY_PORT and the others (docs/v1-configuration.md).
    """,
)


@click.command(short_help="Only the v2 registry, by distribution's config.yml.")
@options(CONFIG, ADDR, _UNIX, DATA, WORKERS)
def v2(config: Path | None, addr: str | None, unix: str | None, data: str | None, workers: int | None) -> None:
    """Run only the v2 registry: distribution's protocol, volume and config.yml.

    It listens where http.addr says, or on 127.0.0.1:5082.
    """
    _run("v2", config, addr=addr, data=data, workers=workers, **{"gateway.v2.unix": unix})


def _front(certs: str | None, names: tuple[str, ...], plain: str | None) -> dict[str, Any]:
    return {"gateway.certs": certs, "gateway.names": names or None, "gateway.plain.addr": plain}


def _run(
    role: str, config: Path | None, *, addr: str | None, data: str | None, workers: int | None, **settings: Any
) -> None:
    gc.disable()  # until the workers are forked: `server.workers` turns it on again
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # it looks for them in every package
    from portside.problems import Problem  # noqa: PLC0415
    from portside.running import run  # noqa: PLC0415

    try:
        status = run(role, config, {**settings, "addr": addr, "data": data, "gateway.workers": workers})
    except Problem as problem:
        fail(str(problem))
    sys.exit(status)
