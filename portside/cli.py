"""The command line. Each command imports what it needs when it runs: `--help` and `route` answer at once.

Invariant: what keeps a command from doing its work is one sentence on stderr and status 1 (2 where the command itself
is misspelt), never a traceback.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from typing_extensions import override

Command = TypeVar("Command", bound=Callable[..., Any])

GROUPS = (
    ("Run", ("serve", "proxy", "v1", "v2")),
    ("Prepare and look", ("certs", "config", "route", "health", "notifications", "reindex")),
    ("Change", ("delete",)),
)
EXAMPLES = """\b
Examples:
  portside serve                       everything on https://localhost:5000, data in ./data
  portside serve portside.yml          the same, by a settings file
  portside proxy portside.yml          only the proxy, in front of registries elsewhere
  portside v2 config.yml               only the v2 registry, by distribution's own file
  portside certs --name registry.lan   a certificate for one more name, and how to trust it
  portside route -A 'docker/1.5.0' GET /v2/
"""


class _Grouped(click.Group):
    """Shows commands by what one wants, in the order of use."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for _, names in GROUPS for name in names]

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A settings file alone means `serve`, as for registry:2's image and distribution 2.0."""
        if args and args[0].endswith((".yml", ".yaml")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS:
            rows = [(name, self.commands[name].get_short_help_str(limit=100)) for name in names]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=_Grouped, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="portside", message="portside %(version)s")
def main() -> None:
    """One TLS address for every Docker client: v1 and v2 registries behind one port.

    Settings come from a YAML file (distribution's config.yml, and a section gateway:), from the environment
    (REGISTRY_...), and from flags, later ones first. docs/settings.md lists them all.
    """


def _options(*options: Callable[[Command], Command]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


_ADDR = click.option("--addr", metavar="ADDRESS", help="Where clients reach this: :5000, 127.0.0.1:5000, unix:/path.")
_DATA = click.option("--data", metavar="FOLDER", help="Where the data is.  [default: data]")
_WORKERS = click.option(
    "--workers", metavar="N", type=click.IntRange(min=1, max=256), help="Processes.  [default: one per core]"
)
_CONFIG = click.argument("config", required=False, type=click.Path(path_type=Path))
_UNIX = click.option("--unix", metavar="PATH", help="A unix socket to listen on too.")
_FRONT = _options(
    click.option(
        "--certs", metavar="FOLDER", help="Certificates; a CA and one are made if there are none.  [default: certs]"
    ),
    click.option("--name", "names", metavar="NAME", multiple=True, help="One more name in a certificate that is made."),
    click.option("--plain", metavar="ADDRESS", help="A further address without TLS, for a load balancer that ends it."),
)


@main.command(short_help="Everything: the proxy and both registries.")
@_options(_CONFIG, _ADDR, _DATA, _WORKERS, _FRONT)
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


@main.command(short_help="Only the proxy, in front of registries elsewhere.")
@_options(
    _CONFIG,
    _ADDR,
    click.option("--v1", "v1_upstream", metavar="PLACE", help="The v1 registry: unix:/path or http://host:port."),
    click.option("--v2", "v2_upstream", metavar="PLACE", help="The v2 registry, likewise."),
    _WORKERS,
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


@main.command(short_help="Only the v1 registry (docker-registry 0.9.1's).")
@_options(_CONFIG, _ADDR, _UNIX, _DATA, _WORKERS)
def v1(config: Path | None, addr: str | None, unix: str | None, data: str | None, workers: int | None) -> None:
    """Run only the v1 registry: docker-registry 0.9.1's protocol and volume, by default on 127.0.0.1:5081.

    docker-registry's STORAGE_PATH, REGISTRY_HOST, REGISTRY_PORT, LOGLEVEL and GUNICORN_WORKERS have effect.
    """
    _run("v1", config, addr=addr, data=data, workers=workers, **{"gateway.v1.unix": unix})


@main.command(short_help="Only the v2 registry, by distribution's config.yml.")
@_options(_CONFIG, _ADDR, _UNIX, _DATA, _WORKERS)
def v2(config: Path | None, addr: str | None, unix: str | None, data: str | None, workers: int | None) -> None:
    """Run only the v2 registry: distribution's protocol, volume and config.yml.

    It listens where http.addr says, or on 127.0.0.1:5082.
    """
    _run("v2", config, addr=addr, data=data, workers=workers, **{"gateway.v2.unix": unix})


@main.command(short_help="Make a CA and a certificate; say how clients trust them.")
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
        _fail(str(problem))
    if made.done:
        click.echo(made.done)
    click.echo(f"{made.certificate}: {shown.subject}, until {shown.not_after:%Y-%m-%d}")
    click.echo(f"names: {', '.join(shown.names) or 'none'}")
    for warning in (*made.warnings, *shown.warnings):
        click.echo(f"warning: {warning}")
    if made.ca is not None:
        hosts = [parse_certificate_name(name) for name in names] or shown.names[:1] or ["localhost"]
        click.echo("\n" + trust_lines(made.ca.absolute(), hosts, port=port))


@main.group(short_help="Check a settings file, or print its schema.")
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


@main.command(short_help="Explain how a request is routed, without a server.")
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


@main.command(short_help="Ask a running process whether it can do its work.")
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
        _fail(str(problem))


@main.command(short_help="Find what another registry has written to the volume.")
@_options(_CONFIG, _DATA)
def reindex(config: Path | None, data: str | None) -> None:
    """Look through a v2 volume for referrers and blobs that another registry has written, beside running servers.

    `serve` and `v2` do the same when they start, and once a day (gateway.index.interval). Run it as the user that the
    registry runs as.
    """
    from portside.problems import Problem  # noqa: PLC0415
    from portside.reindexing import reindex as look_through  # noqa: PLC0415
    from portside.settings.loading import settings_path  # noqa: PLC0415

    def say(line: str) -> None:
        click.echo(line, err=True)

    try:
        click.echo(look_through(config or settings_path(os.environ), os.environ, {"data": data}, say=say))
    except Problem as problem:
        _fail(str(problem))


@main.command(short_help="Delete a whole repository on the volume.")
@click.argument("name")
@_options(_CONFIG, _DATA)
@click.option("--dry-run", is_flag=True, help="Only say what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(name: str, config: Path | None, data: str | None, dry_run: bool, yes: bool) -> None:  # noqa: FBT001 - click's flags
    """Delete a repository with all its tags, manifests and uploads, of v2 and v1, beside running servers.

    Repositories below its name stay, and so does content, until a garbage collection. It works also where clients may
    not delete (storage.delete.enabled). Run it as the user that the registry runs as.
    """
    from portside.delete_repository import delete_repository  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415
    from portside.settings.loading import settings_path  # noqa: PLC0415

    def confirm(what: str) -> bool:
        if yes:
            return True
        if not sys.stdin.isatty():
            raise Problem(f"nobody is there to ask: --yes would {what}")
        return click.confirm(what[0].upper() + what[1:] + "?")

    try:
        click.echo(
            delete_repository(
                name,
                config or settings_path(os.environ),
                os.environ,
                {"data": data},
                dry_run=dry_run,
                confirm=confirm,
            )
        )
    except Problem as problem:
        _fail(str(problem))


@main.command(short_help="Show what waits for the endpoints of notifications.")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option(
    "--role",
    type=click.Choice(["serve", "v1", "v2"]),
    default="serve",
    show_default=True,
    help="Which process of these settings is meant.",
)
@_DATA
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
        _fail(str(problem))
    click.echo(shown_as_json(queues) if as_json else as_table(queues))


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
        _fail(str(problem))
    sys.exit(status)


def _fail(sentence: str) -> NoReturn:
    click.echo(f"portside: {sentence}", err=True)
    sys.exit(1)


if __name__ == "__main__":
    main(prog_name="portside")
