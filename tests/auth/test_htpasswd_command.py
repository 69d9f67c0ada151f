"""`portside htpasswd` as a process: typed passwords, stdin, statuses, other programs, several at once, a full disk."""

from __future__ import annotations

import os
import pty
import re
import resource
import shutil
import signal
import stat
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import pytest

from portside.password_files.writing import change_file

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
APACHES = shutil.which("htpasswd")


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "portside.cli", "htpasswd", *map(str, arguments)]


def htpasswd(*arguments: str | Path, given: str = "", folder: Path, limit: int | None = None) -> tuple[int, str, str]:
    """Runs it; returns status, stdout and stderr."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        command(*arguments),
        input=given.encode("utf-8", "surrogateescape"),
        capture_output=True,
        cwd=folder,
        env=ENVIRONMENT,
        check=False,
        timeout=60,
        preexec_fn=limited,
    )
    assert b"Traceback" not in done.stderr
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def fits(path: Path, user: str, password: str) -> bool:
    """Whether the file has one line of a user, with this password, as Apache's htpasswd writes it."""
    (line,) = re.findall(rf"(?m)^{re.escape(user)}:(\$2y\$.*)$", path.read_text())
    return bcrypt.checkpw(password.encode(), line.encode())


def test_users_are_added_changed_checked_listed_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "users"
    status, out, err = htpasswd("-C", "4", path, "alice", given="wonder\n", folder=tmp_path)
    assert (status, out, err) == (0, f"alice was added to {path}, a new file that only you may read\n", "")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"# ours\r\n" + path.read_bytes())
    assert htpasswd("-B", "-C", "4", path, "bob", given="builder\r\nmore\n", folder=tmp_path)[1] == "bob was added\n"
    assert htpasswd("-C", "5", path, "alice", given="land", folder=tmp_path)[1] == "alice has another password\n"
    assert fits(path, "alice", "land")
    assert fits(path, "bob", "builder")
    assert path.read_bytes().startswith(b"# ours\r\nalice:$2y$05$")

    assert htpasswd("-v", path, "alice", given="land\n", folder=tmp_path) == (0, "this is the password of alice\n", "")
    wrong = htpasswd("-v", path, "alice", given="x\n", folder=tmp_path)
    assert wrong == (3, "", "portside: this is not the password of alice\n")
    nobody = htpasswd("-v", path, "carol", given="x\n", folder=tmp_path)
    assert nobody == (6, "", f"portside: {path} has no user carol\n")

    listed = htpasswd("-l", path, folder=tmp_path)
    assert listed == (0, "    2  alice  bcrypt, cost 5\n    3  bob    bcrypt, cost 4\n", "")

    assert htpasswd("-D", path, "alice", folder=tmp_path) == (0, "alice was removed\n", "")
    assert htpasswd("-D", path, "alice", folder=tmp_path) == (6, "", f"portside: {path} has no user alice\n")
    assert "alice" not in path.read_text()
    assert path.read_bytes().startswith(b"# ours\r\nbob:")
    assert names(tmp_path) == ["users"]


def test_a_line_is_only_printed(tmp_path: Path) -> None:
    status, out, err = htpasswd("-nB", "-C", "4", "alice", given="wonder\n", folder=tmp_path)
    assert (status, err) == (0, "")
    user, hashed = out.rstrip("\n").split(":")
    assert user == "alice"
    assert bcrypt.checkpw(b"wonder", hashed.encode())
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("arguments", "given", "status", "said"),
    [
        ([], "", 2, "write FILE USER behind the options"),
        (["users"], "", 2, "write FILE USER behind the options"),
        (["users", "alice", "wonder"], "", 2, "write FILE USER behind the options"),
        (["-l", "users", "alice"], "", 2, "write FILE behind the options"),
        (["-n", "users", "alice"], "", 2, "write USER behind the options"),
        (["-D", "-v", "users", "alice"], "", 2, "-c, -D, -v, -n and -l exclude each other"),
        (["-b", "users", "alice", "wonder"], "", 2, "type it, or send it to stdin"),
        (["-C", "15", "users", "alice"], "x\n", 2, "15 is not in the range 4<=x<=14"),
        (["-C", "3", "users", "alice"], "x\n", 2, "3 is not in the range 4<=x<=14"),
        (["users", "al:ice"], "x\n", 2, "a user's name has no colon"),
        (["users", ""], "x\n", 2, "is not empty"),
        (["users", "alice"], "", 1, "the password is empty"),
        (["users", "alice"], "\nwonder\n", 1, "the password is empty"),
        (["users", "alice"], "x" * 73, 1, "the password has 73 bytes, and bcrypt reads only 72 of them"),
        (["users", "alice"], "ü" * 37, 1, "the password has 74 bytes"),
        (["-D", "users", "alice"], "", 1, "users is not there"),
        (["-v", "users", "alice"], "x\n", 1, "users cannot be read (No such file or directory)"),
        (["-l", "users"], "", 1, "users cannot be read (No such file or directory)"),
        (["/proc/users", "alice"], "x\n", 1, "/proc/users cannot be made"),
        (["/dev/null", "alice"], "x\n", 1, "/dev/null cannot be changed (it is not a file)"),
        (["..", "alice"], "x\n", 1, "cannot be changed"),
    ],
)
def test_what_it_cannot_do_is_one_line(
    tmp_path: Path, arguments: list[str], given: str, status: int, said: str
) -> None:
    done = htpasswd(*arguments, given=given, folder=tmp_path)
    assert done[0] == status
    assert said in done[2].splitlines()[-1]
    assert len(done[2].splitlines()) == 1 or status == 2
    assert done[1] == ""
    assert names(tmp_path) == []


def test_a_new_file_that_is_there_already_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("bob:x\n")
    status, _, err = htpasswd("-c", "users", "alice", given="wonder\n", folder=tmp_path)
    assert (status, err) == (1, "portside: users is there already; without -c, alice is added to it\n")
    assert (tmp_path / "users").read_text() == "bob:x\n"
    (tmp_path / "users").unlink()
    assert htpasswd("-cB", "-C", "4", "users", "alice", given="wonder\n", folder=tmp_path)[0] == 0


def test_who_cannot_log_in_is_told_why(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("bob:$apr1$x$y\n")
    status, _, err = htpasswd("-v", "users", "bob", given="x\n", folder=tmp_path)
    assert status == 6
    assert "line 1 (bob) has no effect: its hash is of Apache's MD5, and only bcrypt counts" in err


def test_a_file_that_the_registry_does_not_read_is_changed_and_named(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("no colon\n")
    status, out, err = htpasswd("-C", "4", "users", "bob", given="x\n", folder=tmp_path)
    assert (status, out) == (1, "bob was added\n")
    assert err == "portside: the registry does not read users: line 1 has no colon between a user and a hash\n"


def test_owner_mode_and_link_stay(tmp_path: Path) -> None:
    real, link = tmp_path / "real", tmp_path / "link"
    real.write_text("# users\n")
    real.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(real, 1234, 5678)
    before = real.stat()
    link.symlink_to("real")
    assert htpasswd("-C", "4", link, "alice", given="wonder\n", folder=tmp_path)[0] == 0
    after = real.stat()
    assert (after.st_uid, after.st_gid, after.st_mode) == (before.st_uid, before.st_gid, before.st_mode)
    assert after.st_ino != before.st_ino
    assert link.is_symlink()
    assert fits(real, "alice", "wonder")


def test_a_link_to_nothing_is_where_the_file_is_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("folder/real")
    assert htpasswd("-C", "4", "link", "alice", given="wonder\n", folder=tmp_path)[0] == 0
    assert fits(tmp_path / "folder" / "real", "alice", "wonder")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "users").write_text("bob:x\n")
    status, out, err = htpasswd("-C", "4", "users", "alice", given="wonder\n", folder=tmp_path, limit=8)
    assert (status, out) == (1, "")
    assert "cannot be changed (File too large)" in err
    assert (tmp_path / "users").read_text() == "bob:x\n"
    status, out, err = htpasswd("-C", "4", "other", "alice", given="wonder\n", folder=tmp_path, limit=8)
    assert (status, err) == (1, "portside: other cannot be made (File too large)\n")
    assert names(tmp_path) == ["users"]


@pytest.mark.parametrize("is_there", [True, False])
def test_several_at_once_lose_no_user(tmp_path: Path, is_there: bool) -> None:  # noqa: FBT001 - a case
    path = tmp_path / "users"
    if is_there:
        path.write_text("# users\n")
    running = [
        subprocess.Popen(command("-C", "4", path, f"user{number}"), stdin=subprocess.PIPE, env=ENVIRONMENT)
        for number in range(8)
    ]
    for number, each in enumerate(running):
        each.communicate(f"password {number}\n".encode(), timeout=60)
    assert [each.returncode for each in running] == [0] * 8
    for number in range(8):
        assert fits(path, f"user{number}", f"password {number}")
    assert names(tmp_path) == ["users"]


def test_who_changes_a_file_waits_for_another_and_then_changes_what_that_has_made(tmp_path: Path) -> None:
    path = tmp_path / "users"
    path.write_text("# users\n")
    begun, go_on = threading.Event(), threading.Event()

    def slowly(content: bytes) -> bytes:
        begun.set()
        assert go_on.wait(20)
        return content + b"first:x\n"

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(change_file, path, slowly)
        assert begun.wait(20)
        second = threads.submit(change_file, path, lambda content: content + b"second:x\n")
        with pytest.raises(TimeoutError):
            second.result(0.2)
        go_on.set()
        first.result(20)
        second.result(20)
    assert path.read_text() == "# users\nfirst:x\nsecond:x\n"


def test_a_password_is_typed_twice_and_not_shown(tmp_path: Path) -> None:
    def typed(*lines: str) -> tuple[int, str]:
        pid, terminal = pty.fork()
        if not pid:
            os.chdir(tmp_path)
            os.execve(sys.executable, command("-C", "4", "users", "alice"), ENVIRONMENT)
        shown = b""
        for line in lines:
            while not shown.rstrip(b" ").endswith((b"New password:", b"The same again:")):
                shown += os.read(terminal, 1000)
            os.write(terminal, line.encode() + b"\n")
            shown += b"\n"
        try:
            while more := os.read(terminal, 1000):
                shown += more
        except OSError:
            pass  # how a terminal ends
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()

    status, shown = typed("wonder", "wander")
    assert status == 3
    assert "the two passwords differ" in shown
    assert not (tmp_path / "users").exists()
    status, shown = typed("wonder", "wonder")
    assert status == 0, shown
    assert "wonder" not in shown
    assert fits(tmp_path / "users", "alice", "wonder")
    status, shown = typed("\x03")
    assert status in {1, 130, -signal.SIGINT}
    assert "Traceback" not in shown


@pytest.mark.real
@pytest.mark.skipif(APACHES is None, reason="needs Apache's htpasswd (apache2-utils)")
def test_apaches_htpasswd_and_ours_work_on_one_file(tmp_path: Path) -> None:
    def apaches(*arguments: str, given: str) -> int:
        assert APACHES is not None
        done = subprocess.run(
            [APACHES, "-i", *arguments], input=given, text=True, capture_output=True, cwd=tmp_path, check=False
        )
        return done.returncode

    assert apaches("-cB", "users", "alice", given="wonder\n") == 0
    assert apaches("users", "md5", given="wonder\n") == 0
    assert htpasswd("-v", "users", "alice", given="wonder\n", folder=tmp_path)[0] == 0
    assert htpasswd("-v", "users", "md5", given="wonder\n", folder=tmp_path)[0] == 6
    assert htpasswd("-C", "4", "users", "bob", given="builder\n", folder=tmp_path)[0] == 0
    assert htpasswd("-C", "4", "users", "alice", given="land\n", folder=tmp_path)[0] == 0
    assert apaches("-v", "users", "bob", given="builder\n") == 0
    assert apaches("-v", "users", "bob", given="x\n") == 3
    assert apaches("-v", "users", "alice", given="land\n") == 0
    assert apaches("-v", "users", "md5", given="wonder\n") == 0
    assert apaches("-D", "users", "bob", given="") == 0
    assert htpasswd("-v", "users", "bob", given="builder\n", folder=tmp_path)[0] == 6
    assert apaches("-v", "users", "carol", given="x\n") == 6
