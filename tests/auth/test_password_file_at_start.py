"""The htpasswd file at a start: made once where there is none, as distribution makes it, else looked at."""

from __future__ import annotations

import json
import logging
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import bcrypt
import pytest

from backends.auth.htpasswd import HtpasswdSettings, parse_htpasswd
from portside.observe.logging import LogSettings, log_directly
from portside.observe.mail import MailHandler, MailSettings
from portside.password_files.at_start import prepare_password_file
from portside.problems import Problem

KEY = "auth.htpasswd.path"


def prepare(path: Path) -> None:
    prepare_password_file(HtpasswdSettings("Registry", str(path)), KEY)


def test_a_missing_file_is_made_with_folders_and_its_password_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a" / "b" / "htpasswd"
    before = os.umask(0)
    try:
        prepare(path)
    finally:
        os.umask(before)
    (told,) = caplog.records
    assert told.message == "htpasswd is missing, provisioning with default user"
    assert re.fullmatch("[A-Za-z0-9_-]{43}", told.__dict__["password"])
    assert told.__dict__["user"] == "docker"
    assert told.__dict__["path"] == str(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path.parent.parent)] == [0o700] * 2
    (entry,) = parse_htpasswd(path.read_bytes()).entries.values()
    assert (entry.user, entry.cost) == ("docker", 10)
    assert bcrypt.checkpw(told.__dict__["password"].encode(), entry.hash)
    assert [each.name for each in path.parent.iterdir()] == ["htpasswd"]
    caplog.clear()
    prepare(path)
    assert not caplog.records


@pytest.mark.parametrize("form", ["text", "json", "logstash"])
def test_the_line_is_distributions_and_is_not_mailed(tmp_path: Path, form: str) -> None:
    root = logging.getLogger()
    before = root.handlers[:], root.level
    with (tmp_path / "log").open("wb") as file:
        log_directly(LogSettings("warn", form), version="1", instance="i", descriptor=file.fileno())
        mail = MailHandler(MailSettings(frozenset({logging.WARNING}), "localhost", 1))
        root.addHandler(mail)
        try:
            prepare(tmp_path / "htpasswd")
        finally:
            root.handlers[:] = before[0]
            root.setLevel(before[1])
    text = (tmp_path / "log").read_text()
    if form == "text":
        said = 'msg="htpasswd is missing, provisioning with default user" password='
        assert re.search(rf"level=warning {said}\S+ path={re.escape(str(tmp_path))}/htpasswd user=docker", text)
    else:
        line = json.loads(text.splitlines()[0])
        assert line["user"] == "docker"
        assert len(line["password"]) == 43
    assert mail._thread is None
    assert not mail._lines


def test_several_at_once_make_one_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "htpasswd"
    script = (
        "import logging, sys; from pathlib import Path; logging.basicConfig(format='%(message)s %(password)s');"
        "from tests.auth.test_password_file_at_start import prepare; prepare(Path(sys.argv[1]))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", script, path], stderr=subprocess.PIPE, text=True) for _ in range(6)
    ]
    told = [each.communicate(timeout=60)[1] for each in running]
    assert [each.returncode for each in running] == [0] * 6, told
    (only,) = [each for each in told if each]
    (entry,) = parse_htpasswd(path.read_bytes()).entries.values()
    assert bcrypt.checkpw(only.split()[-1].encode(), entry.hash)
    assert [each.name for each in path.parent.iterdir()] == ["htpasswd"]


def test_a_link_to_nothing_is_where_it_is_made(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("folder/htpasswd")
    prepare(tmp_path / "link")
    assert (tmp_path / "folder" / "htpasswd").is_file()
    assert (tmp_path / "link").is_symlink()


def test_what_has_no_effect_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "htpasswd"
    path.write_text("# users\nalice:$apr1$x$y\n")
    prepare(path)
    first, second = (each.message for each in caplog.records)
    assert first.startswith(f"{path}: line 2 (alice) has no effect: its hash is of Apache's MD5")
    assert second == (f"{KEY}: {path} names nobody who can log in; `portside htpasswd {path} USER` adds a user")
    assert path.read_text() == "# users\nalice:$apr1$x$y\n"


@pytest.mark.parametrize("kind", ["folder", "broken", "below a file", "below /proc", "a loop"])
def test_what_cannot_be_read_or_made_keeps_it_from_starting(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "htpasswd"
    said = f"{KEY}: {path} "
    match kind:
        case "folder":
            path.mkdir()
            said += "is not a file"
        case "broken":
            path.write_text("alice:x\nsecret\n")
            said += "is not an htpasswd file: line 2 has no colon between a user and a hash"
        case "below a file":
            path.write_text("")
            path = path / "htpasswd"
            said = f"{KEY}: {path} cannot be read (Not a directory)"
        case "a loop":
            path.symlink_to(path)
            said += "cannot be read (Too many levels of symbolic links)"
        case _:
            path = Path("/proc/htpasswd")
            said = f"{KEY}: {path} is not there, and cannot be made ("
    with pytest.raises(Problem) as raised:
        prepare(path)
    assert str(raised.value).startswith(said)
    assert "secret" not in str(raised.value)
