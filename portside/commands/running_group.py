"""A command that runs something, and has subcommands: `portside v1 config.yml` beside `portside v1 check`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click
from typing_extensions import override


class RunningGroup(click.Group):
    """Runs where its first argument names no subcommand; a file of such a name is written `./check`.

    Args:
        run: what is run then, with its own arguments and options.
        subcommands: the module and attribute of each, imported when it is asked for.
    """

    def __init__(self, run: Callable[..., Any], subcommands: Mapping[str, tuple[str, str]], **settings: Any) -> None:
        super().__init__(**settings)
        self._subcommands = subcommands
        decorate = click.command(self.name, cls=_Run, help=self.help, short_help=self.short_help, group=self)
        self._run: click.Command = decorate(run)

    @override
    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        if args and args[0] in self._subcommands:
            return super().make_context(info_name, args, parent, **extra)
        return self._run.make_context(info_name, args, parent, **extra)

    @override
    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._subcommands)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._subcommands:
            return None
        module, attribute = self._subcommands[cmd_name]
        command = getattr(import_module(module), attribute)
        assert isinstance(command, click.Command), cmd_name
        return command


class _Run(click.Command):
    def __init__(self, name: str | None, *, group: RunningGroup, **settings: Any) -> None:
        super().__init__(name, **settings)
        self._group = group

    @override
    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Shows the subcommands too: nobody asks a group for help that never looks like one."""
        super().format_options(ctx, formatter)
        self._group.format_commands(ctx, formatter)
