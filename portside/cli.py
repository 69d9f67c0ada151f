"""The command line. Each command imports what it needs when it runs: `--help` and `route` answer at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from typing_extensions import override

Command = TypeVar("Command", bound=Callable[..., Any])

EXAMPLES = """\b
Examples:
  portside serve                          everything on https://localhost:5000, data in ./data
  portside serve portside.yml             the same, by a settings file
  portside proxy portside.yml             only the proxy, in front of registries elsewhere
  portside v2 config.yml                  only the v2 registry, by distribution's own file
  portside route --user-agent 'docker/1.5.0' GET /v2/
  portside health                         for a container's or systemd's check
"""


class _Help(click.Group):
    """Lists commands in the order of use rather than of the alphabet."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return ["serve", "proxy", "v1", "v2", "certs", "route", "health"]


@click.group(cls=_Help, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="portside", message="portside %(version)s")
def main() -> None:
    """One TLS address for every Docker client: v1 and v2 registries behind one port.

    Settings come from a YAML file (distribution's config.yml, and a section gateway:), from the environment
    (REGISTRY_...), and from flags, later ones first. docs/settings.md lists them all.
    """


def _serving(command: Command) -> Command:
    options = [
        click.argument("config", required=False, type=click.Path(dir_okay=False, path_type=Path)),
        click.option("--addr", help="Where clients reach this: :5000, 127.0.0.1:5000, unix:/path."),
        click.option("--data", help="The folder of the data."),
        click.option("--workers", type=click.IntRange(min=1, max=256), help="Processes; one per core by default."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@main.command()
@_serving
@click.option("--certs", help="The folder of certificates, made if there are none.")
@click.option("--name", "names", multiple=True, help="A further name for a certificate that is made; repeatable.")
@click.option("--plain", help="A further address that speaks plain HTTP, for a load balancer that ends TLS.")
def serve(
    config: Path | None,
    addr: str | None,
    data: str | None,
    workers: int | None,
    certs: str | None,
    names: tuple[str, ...],
    plain: str | None,
) -> None:
    """Run everything in one process group: proxy, v1 and v2."""
    flags = {"gateway.addr": addr, "gateway.certs": certs, "gateway.names": names or None, "gateway.plain.addr": plain}
    _run("serve", config, data, workers, flags)


@main.command()
@_serving
@click.option("--v1", "v1_upstream", help="The v1 registry: unix:/path or http://host:port.")
@click.option("--v2", "v2_upstream", help="The v2 registry: unix:/path or http://host:port.")
@click.option("--certs", help="The folder of certificates, made if there are none.")
@click.option("--name", "names", multiple=True, help="A further name for a certificate that is made; repeatable.")
@click.option("--plain", help="A further address that speaks plain HTTP, for a load balancer that ends TLS.")
def proxy(
    config: Path | None,
    addr: str | None,
    data: str | None,
    workers: int | None,
    v1_upstream: str | None,
    v2_upstream: str | None,
    certs: str | None,
    names: tuple[str, ...],
    plain: str | None,
) -> None:
    """Run the proxy alone, in front of registries in other processes."""
    flags = {
        "gateway.addr": addr,
        "gateway.v1.upstream": v1_upstream,
        "gateway.v2.upstream": v2_upstream,
        "gateway.certs": certs,
        "gateway.names": names or None,
        "gateway.plain.addr": plain,
    }
    _run("proxy", config, data, workers, flags)


@main.command()
@_serving
@click.option("--unix", help="A unix socket to listen on too.")
def v1(config: Path | None, addr: str | None, data: str | None, workers: int | None, unix: str | None) -> None:
    """Run the v1 registry alone (docker-registry 0.9.1's protocol and volume)."""
    _run("v1", config, data, workers, {"gateway.v1.addr": addr, "gateway.v1.unix": unix})


@main.command()
@_serving
@click.option("--unix", help="A unix socket to listen on too.")
def v2(config: Path | None, addr: str | None, data: str | None, workers: int | None, unix: str | None) -> None:
    """Run the v2 registry alone, by distribution's config.yml."""
    _run("v2", config, data, workers, {"gateway.v2.addr": addr, "gateway.v2.unix": unix})


@main.command()
@click.option("--folder", default="certs", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", "names", multiple=True, help="A further DNS name or IP address; repeatable.")
@click.option("--port", default=5000, show_default=True, help="The port in the lines that make clients trust the CA.")
def certs(folder: Path, names: tuple[str, ...], port: int) -> None:
    """Make a private CA and a server certificate if there are none, show them, and say how clients trust them."""
    from portside.certificates import describe, ensure_certificates, trust_lines  # noqa: PLC0415 - slow to import
    from portside.problems import Problem  # noqa: PLC0415

    try:
        made = ensure_certificates(folder, names=names)
        shown = describe(made.certificate)
    except Problem as problem:
        _fail(str(problem))
    if made.done:
        click.echo(made.done)
    click.echo(f"{made.certificate}: {shown.subject}, until {shown.not_after:%Y-%m-%d}")
    click.echo(f"names: {', '.join(shown.names) or 'none'}")
    for warning in shown.warnings:
        click.echo(f"warning: {warning}")
    if made.ca is not None:
        click.echo("\n" + trust_lines(made.ca, shown.names[:1] or ("localhost",), port=port))


@main.command()
@click.option("--user-agent", "-A", default="", help="The client's User-Agent.")
@click.option("--rule", type=click.Choice(["portside", "literal"]), default="portside", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.argument("method")
@click.argument("path")
def route(user_agent: str, rule: str, as_json: bool, method: str, path: str) -> None:  # noqa: FBT001 - click's flags
    """Explain which way a request goes, without a server."""
    import json  # noqa: PLC0415

    from backends.model.clients import parse_user_agent  # noqa: PLC0415
    from proxy.routing import Policy, decide  # noqa: PLC0415
    from proxy.settings import Rule  # noqa: PLC0415

    client = parse_user_agent(user_agent)
    decision = decide(client, user_agent, path, Policy(Rule(rule)))
    where = decision.backend.value if decision.backend is not None else "proxy"
    answer = f"{decision.refusal.status}, so that it goes elsewhere" if decision.refusal is not None else None
    facts = {
        "client": client.text,
        "generation": client.generation.value,
        "request": f"{method} {path}",
        "goes to": where,
        "why": decision.reason,
        "answer": answer,
    }
    if as_json:
        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        if value is not None:
            click.echo(f"{key + ':':12} {value}")


@main.command()
@click.argument("config", required=False, type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--role",
    type=click.Choice(["serve", "proxy", "v1", "v2"]),
    default="serve",
    show_default=True,
    help="Which process of these settings is asked.",
)
@click.option("--addr", help="Ask this address instead: 127.0.0.1:5000, unix:/path.")
@click.option("--timeout", default=5.0, show_default=True, help="Seconds to wait for the answer.")
def health(config: Path | None, role: str, addr: str | None, timeout: float) -> None:
    """Ask a running process whether it answers: status 0 or 1, and one line."""
    from portside.health import ask  # noqa: PLC0415
    from portside.listening import parse_address  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415

    try:
        if addr is not None:
            places = [(role, parse_address(addr), role in {"serve", "proxy"} and not addr.startswith("unix:"))]
        else:
            from portside.settings import Role, load_settings  # noqa: PLC0415

            settings = load_settings(Role(role), config, os.environ, {})
            places = [
                (found.name, found.address, found.tls is not None)
                for found in settings.listeners
                if found.name != "metrics"
            ][:1]
        name, address, tls = places[0]
        click.echo(ask(name, address, tls=tls, timeout=timeout))
    except (Problem, ValueError) as problem:
        _fail(str(problem))


def _run(role: str, config: Path | None, data: str | None, workers: int | None, flags: dict[str, Any]) -> None:
    from portside.problems import Problem  # noqa: PLC0415
    from portside.running import run  # noqa: PLC0415

    flags |= {"storage": {"filesystem": {"rootdirectory": data}} if data else None, "gateway.workers": workers}
    try:
        status = run(role, config, flags)
    except Problem as problem:
        _fail(str(problem))
    sys.exit(status)


def _fail(sentence: str) -> NoReturn:
    click.echo(f"portside: {sentence}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main()
