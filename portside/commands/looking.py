"""`portside certs`, `config`, `route`, `health` and `notifications`: the commands that prepare and look."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from portside.commands.options import DATA, fail


@click.command(short_help="Make a CA and a certificate; say how clients trust them.")
@click.option("--folder", default="certs", show_default=True, type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", "names", metavar="NAME", multiple=True, help="One more DNS name or IP address; repeatable.")
@click.option("--port", default=5000, show_default=True, help="The port in the lines that make clients trust the CA.")
def certs(folder: Path, names: tuple[str, ...], port: int) -> None:
    """Make a private CA and a server certificate if there are none, show them, and say how clients trust them."""
    from portside.problems import Problem  # noqa: PLC0415
    from portside.tls.certificates import ensure_certificates, trust_lines  # noqa: PLC0415 - slow to import
    from portside.tls.describing import describe  # noqa: PLC0415
    from portside.tls.names import parse_certificate_name  # noqa: PLC0415

    try:
        made = ensure_certificates(folder, names=names)
        shown = describe(made.certificate)
    except Problem as problem:
        fail(str(problem))
    if made.done:
        click.echo(made.done)
    click.echo(f"{made.certificate}: {shown.subject}, until {shown.not_after:%Y-%m-%d}")
    click.echo(f"names: {', '.join(shown.names) or 'none'}")
    for warning in (*made.warnings, *shown.warnings):
        click.echo(f"warning: {warning}")
    if made.ca is not None:
        hosts = [parse_certificate_name(name) for name in names] or shown.names[:1] or ["localhost"]
        click.echo("\n" + trust_lines(made.ca.absolute(), hosts, port=port))


@click.group(short_help="Check a settings file, or print its schema.")
def config() -> None:
    """Look at settings without a server."""


@config.command("check", short_help="Say what becomes of each line of a settings file.")
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option(
    "--role",
    type=click.Choice(["serve", "proxy", "v1", "v2"]),
    default="serve",
    show_default=True,
    help="The command that is to read it.",
)
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def config_check(file: Path | None, role: str, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Say what becomes of each line of a settings FILE, and of each REGISTRY_ variable; nothing is started or written.

    Each line is used, overridden (by a variable), renamed, ignored, unsupported, dangerous, or refused; the status is 1
    where something is refused: the command would not start.
    """
    from portside.config_commands import report_json, report_lines  # noqa: PLC0415
    from portside.settings.places import settings_path  # noqa: PLC0415

    path = file or settings_path(os.environ)
    if as_json:
        text, starts = report_json(role, path, os.environ)
        click.echo(text)
    else:
        lines, starts = report_lines(role, path, os.environ)
        click.echo("\n".join(lines))
    sys.exit(0 if starts else 1)


@config.command("schema", short_help="Print the JSON Schema of the settings file.")
def config_schema() -> None:
    """Print the JSON Schema of the settings file: editors complete keys by it and mark mistakes."""
    import json  # noqa: PLC0415

    from portside.settings.json_schema import json_schema  # noqa: PLC0415

    click.echo(json.dumps(json_schema(), indent=2))


@click.command(short_help="Explain how a request is routed, without a server.")
@click.option("--user-agent", "-A", metavar="AGENT", default="", help="The client's User-Agent.")
@click.option("--rule", type=click.Choice(["portside", "literal"]), default="portside", show_default=True)
@click.option("--prefix", metavar="PATH", default="", help="What the settings name as http.prefix.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.argument("method")
@click.argument("path")
def route(user_agent: str, rule: str, prefix: str, as_json: bool, method: str, path: str) -> None:  # noqa: FBT001 - click's flags
    """Explain how a request is routed, without a server.

    \b
    portside route -A 'docker/1.5.0 go/go1.3.3' GET /v2/
    portside route -A 'docker/24.0.7 go/go1.20' GET /v2/library/busybox/manifests/latest
    """  # noqa: D301 - click's mark for lines that stay as they are
    from portside.explain_route import explain  # noqa: PLC0415

    if not path.startswith(("/", "http://", "https://")):
        raise click.BadParameter("it begins with a slash, like /v2/", param_hint="PATH")
    from backends.http.paths import parse_prefix  # noqa: PLC0415

    try:
        facts = explain(user_agent, method.upper(), path, rule=rule, prefix=parse_prefix(prefix))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--prefix") from None
    if as_json:
        import json  # noqa: PLC0415

        click.echo(json.dumps(facts))
        return
    for key, value in facts.items():
        if value is not None:
            click.echo(f"{key + ':':12} {value}")


@click.command(short_help="Ask a running process whether it can do its work.")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--role",
    type=click.Choice(["serve", "proxy", "v1", "v2"]),
    default="serve",
    show_default=True,
    help="Which process of these settings is asked.",
)
@click.option("--addr", metavar="ADDRESS", help="Ask this address instead: 127.0.0.1:5000, unix:/path.")
@click.option("--plain", is_flag=True, help="With --addr: it speaks plain HTTP.")
@click.option(
    "--timeout", default=5.0, show_default=True, type=click.FloatRange(min=0.1), help="Seconds to wait for the answer."
)
def health(config: Path | None, role: str, addr: str | None, plain: bool, timeout: float) -> None:  # noqa: FBT001 - click's flags
    """Ask a running process whether it can do its work: one line, and status 0 or 1; for containers and systemd.

    Give it the settings of the process that it asks; it asks at its first address that wants no certificate. It is well
    while pulls work: the line names what keeps pushes from working, and the status is 0 all the same.
    """
    from portside.ask_health import ask, listener_for, wants_certificate  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415
    from portside.server.listening import parse_address  # noqa: PLC0415

    try:
        if addr is not None:
            tls = role in {"serve", "proxy"} and not plain and not addr.startswith("unix:")
            click.echo(ask(parse_address(addr), tls=tls, timeout=timeout))
            return
        from portside.settings.loading import Role, load_settings, settings_path  # noqa: PLC0415

        settings = load_settings(Role(role), config or settings_path(os.environ), os.environ, {})
        listener = listener_for(settings.listeners)
        only_greet = wants_certificate(listener)
        tls = listener.tls is not None
        click.echo(ask(listener.address, tls=tls, timeout=timeout, only_greet=only_greet))
    except (Problem, ValueError) as problem:
        fail(str(problem))


@click.command(short_help="Show what waits for the endpoints of notifications.")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--role",
    type=click.Choice(["serve", "v1", "v2"]),
    default="serve",
    show_default=True,
    help="Which process of these settings is meant.",
)
@DATA
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def notifications(config: Path | None, role: str, data: str | None, as_json: bool) -> None:  # noqa: FBT001 - click's flags
    """Show what waits for each endpoint of notifications, how it does, and what it has lost.

    It reads the volume, so it works beside running servers and without any.
    """
    from portside.problems import Problem  # noqa: PLC0415
    from portside.settings.loading import Role, load_settings, settings_path  # noqa: PLC0415
    from portside.show_queues import as_json as shown_as_json  # noqa: PLC0415
    from portside.show_queues import as_table, read_queues  # noqa: PLC0415

    try:
        settings = load_settings(Role(role), config or settings_path(os.environ), os.environ, {"data": data})
        queues = read_queues(settings)
    except Problem as problem:
        fail(str(problem))
    click.echo(shown_as_json(queues) if as_json else as_table(queues))
