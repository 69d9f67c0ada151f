"""`portside htpasswd`: who may log in."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import click

from portside.commands.options import fail, say

OTHERS_PASSWORD, NO_SUCH_USER = 3, 6
"""Statuses of Apache's htpasswd: not this user's password, or typed otherwise the second time; no such user."""
_MAX_LINE = 4096


def _refuse_argument(context: click.Context, parameter: click.Parameter, value: bool) -> None:  # noqa: ARG001, FBT001 - click's
    if value:
        raise click.UsageError("a password in the command can be read by everybody here: type it, or send it to stdin")


@click.command(short_help="Add, change, remove, check users of an htpasswd file.")
@click.argument("names", metavar="FILE USER", nargs=-1)
@click.option("-B", "bcrypt", is_flag=True, help="bcrypt, which it always is: the registry reads nothing else.")
@click.option(
    "-C", "cost", metavar="COST", type=click.IntRange(4, 14), default=10, show_default=True,
    help="How long one check takes: 60 ms at 10, twice that for one more, up to 14.",
)  # fmt: skip
@click.option("-c", "is_new", is_flag=True, help="FILE must not be there yet; without it FILE is made if need be.")
@click.option("-D", "remove", is_flag=True, help="Remove USER.")
@click.option("-v", "check", is_flag=True, help="Only check USER's password.")
@click.option("-n", "show", is_flag=True, help="Only print the line for USER; without FILE.")
@click.option("-l", "--list", "listing", is_flag=True, help="List who is in FILE; without USER.")
@click.option("-i", "stdin", is_flag=True, help="Read the password from stdin, as without a terminal.")
@click.option("-b", is_flag=True, hidden=True, expose_value=False, callback=_refuse_argument)
def htpasswd(
    names: tuple[str, ...],
    bcrypt: bool,  # noqa: ARG001, FBT001 - click's flags
    cost: int,
    is_new: bool,  # noqa: FBT001
    remove: bool,  # noqa: FBT001
    check: bool,  # noqa: FBT001
    show: bool,  # noqa: FBT001
    listing: bool,  # noqa: FBT001
    stdin: bool,  # noqa: FBT001
) -> None:
    """Add USER to an htpasswd FILE, or change its password; a running registry sees it at once.

    \b
    portside htpasswd users alice                # asks for the password
    pass show alice | portside htpasswd users alice
    portside htpasswd -D users alice             # removes alice
    portside htpasswd -v users alice             # checks: status 0, 3 wrong password, 6 no such user
    portside htpasswd -l users                   # who can log in, and which lines have no effect

    FILE is replaced as a whole; its other lines, comments, owner and mode stay. Apache's htpasswd -B reads and writes
    the same.
    """  # noqa: D301 - click's mark for lines that stay as they are
    from portside.password_files import command  # noqa: PLC0415
    from portside.password_files.edits import check_user  # noqa: PLC0415
    from portside.problems import Problem  # noqa: PLC0415

    if remove + check + show + listing + is_new > 1:
        raise click.UsageError("-c, -D, -v, -n and -l exclude each other")
    wanted = {"USER": show, "FILE": listing}
    expected = next((name for name, only in wanted.items() if only), "FILE USER")
    if len(names) != len(expected.split()):
        raise click.UsageError(f"write {expected} behind the options")
    path, user = Path(names[0]), names[-1]
    try:
        if listing:
            for line in command.list_users(path):
                say(line)
            return
        if not remove and not check:
            _require(check_user, user)
        if remove:
            done = command.remove_user(path, user)
        elif check:
            done = command.verify(path, user, _ask(from_stdin=stdin, twice=False))
        elif show:
            done = command.make_line(user, _ask(from_stdin=stdin, twice=True), cost)
        else:
            done = command.set_password(path, user, _ask(from_stdin=stdin, twice=True), cost=cost, is_new=is_new)
        say(done)
        if not show and not check and (trouble := command.trouble_of(path)) is not None:
            fail(trouble)
    except command.NoSuchUserError as error:
        fail(str(error), status=NO_SUCH_USER)
    except command.WrongPasswordError as error:
        fail(str(error), status=OTHERS_PASSWORD)
    except Problem as problem:
        fail(str(problem))


def _require(check: Callable[[str], None], user: str) -> None:
    try:
        check(user)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="USER") from None


def _ask(*, from_stdin: bool, twice: bool) -> bytes:
    """Returns a password: typed, or the first line of stdin."""
    if from_stdin or not sys.stdin.isatty():
        line = sys.stdin.buffer.readline(_MAX_LINE)
        return line.removesuffix(b"\n").removesuffix(b"\r")
    import getpass  # noqa: PLC0415

    typed = getpass.getpass("New password: " if twice else "Password: ")
    if twice and getpass.getpass("The same again: ") != typed:
        fail("the two passwords differ", status=OTHERS_PASSWORD)
    return typed.encode("utf-8", "surrogateescape")
