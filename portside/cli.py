"""The command line. Each command imports what it needs when it runs: `--help` and `route` answer at once.

Invariant: what keeps a command from doing its work is one sentence on stderr and status 1 (2 where the command itself
is misspelt, and where `access explain` has no answer; 3 and 6 of `htpasswd` as Apache's), never a traceback.
"""

from __future__ import annotations

from importlib import import_module

import click
from typing_extensions import override

GROUPS = (
    ("Run", ("serve", "proxy", "v1", "v2")),
    ("Prepare and look", ("certs", "config", "route", "health", "notifications", "inspect", "reindex", "access")),
    ("Change", ("htpasswd", "migrate", "delete")),
)
MODULES = {
    "serving": ("serve", "proxy", "v1", "v2"),
    "looking": ("certs", "config", "route", "health", "notifications"),
    "volumes": ("inspect", "reindex", "delete"),
    "passwords": ("htpasswd",),
    "migrating": ("migrate",),
    "access": ("access",),
}
"""Where the commands are, below `portside.commands`."""

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
    """Shows commands by what one wants, in the order of use; imports a command when it is asked for."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for _, names in GROUPS for name in names]

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for module, names in MODULES.items():
            if cmd_name in names:
                command = getattr(import_module(f"portside.commands.{module}"), cmd_name)
                assert isinstance(command, click.Command), cmd_name
                return command
        return None

    @override
    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """A settings file alone means `serve`, as for registry:2's image and distribution 2.0."""
        if args and args[0].endswith((".yml", ".yaml")):
            args = ["serve", *args]
        return super().parse_args(ctx, args)

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, names in GROUPS:
            commands = [(name, self.get_command(ctx, name)) for name in names]
            rows = [(name, each.get_short_help_str(limit=100)) for name, each in commands if each is not None]
            with formatter.section(title):
                formatter.write_dl(rows)


@click.group(cls=_Grouped, epilog=EXAMPLES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="portside", message="portside %(version)s")
def main() -> None:
    """One TLS address for every Docker client: v1 and v2 registries behind one port.

    Settings come from a YAML file (distribution's config.yml, and a section gateway:), from the environment
    (REGISTRY_...), and from flags, later ones first. docs/settings.md lists them all.
    """


if __name__ == "__main__":
    main(prog_name="portside")
