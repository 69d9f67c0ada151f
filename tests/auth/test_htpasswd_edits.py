"""A user more, less, or with another password: what of the file changes, and what does not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.htpasswd import HtpasswdError, parse_htpasswd
from portside.password_files.edits import check_password, check_user, listed, with_user, without_user

HASH = "$2y$10$abcdefghijklmnopqrstuu" + "A" * 31
OTHER = HASH.replace("A", "B")


@pytest.mark.parametrize(
    ("before", "after", "was_there"),
    [
        ("", f"alice:{HASH}\n", False),
        ("# users\n", f"# users\nalice:{HASH}\n", False),
        ("bob:x", f"bob:x\nalice:{HASH}\n", False),
        ("bob:x\r\n", f"bob:x\r\nalice:{HASH}\n", False),
        ("a:1\nalice:old\nb:2\n", f"a:1\nalice:{HASH}\nb:2\n", True),
        ("a:1\r\nalice:old\r\nb:2\r\n", f"a:1\r\nalice:{HASH}\r\nb:2\r\n", True),
        ("a:1\nalice:old", f"a:1\nalice:{HASH}", True),
        ("alice:1\nb:2\nalice:3\nc:4\n", f"b:2\nalice:{HASH}\nc:4\n", True),
        ("#alice:1\n\n  alice:1\n", f"#alice:1\n\nalice:{HASH}\n", True),
        ("alicea:1\nalic:2\n", f"alicea:1\nalic:2\nalice:{HASH}\n", False),
        ("no colon\n", f"no colon\nalice:{HASH}\n", False),
    ],
)
def test_a_user_is_set(before: str, after: str, was_there: bool) -> None:  # noqa: FBT001 - the expectation
    assert with_user(before.encode(), "alice", HASH) == (after.encode(), was_there)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", None),
        ("#alice:1\nbob:2\n", None),
        ("alice:1\n", ""),
        ("a:1\nalice:old\nb:2", "a:1\nb:2"),
        ("alice:1\nb:2\nalice:3\n", "b:2\n"),
        (" alice:1\r\n# x\r\n", "# x\r\n"),
    ],
)
def test_a_user_is_removed(before: str, after: str | None) -> None:
    assert without_user(before.encode(), "alice") == (None if after is None else after.encode())


LINES = st.lists(
    st.one_of(
        st.binary(max_size=20).filter(lambda each: b"\n" not in each),
        st.sampled_from([f"{user}:{HASH}".encode() for user in ("alice", "bob", "#c", " alice ")]),
    ),
    max_size=8,
)


@given(LINES)
def test_what_is_set_counts_and_all_else_stays(lines: list[bytes]) -> None:
    content = b"\n".join(lines)
    after, _ = with_user(content, "alice", OTHER)
    others = [each for each in content.split(b"\n") if each and not each.strip().startswith(b"alice:")]
    assert [each for each in after.split(b"\n") if each and not each.strip().startswith(b"alice:")] == others
    try:
        table = parse_htpasswd(after)
    except HtpasswdError:
        return  # a line that was there before is none
    assert table.entries["alice"].hash == OTHER.encode()
    removed = without_user(after, "alice")
    assert removed is not None
    assert "alice" not in parse_htpasswd(removed).entries
    assert with_user(after, "alice", OTHER) == (after, True)


@pytest.mark.parametrize("user", ["", " a", "a ", "a:b", "#a", "a\nb", "a\tb", "a\x00", "x" * 256, "\u200b"])
def test_some_names_are_refused(user: str) -> None:
    with pytest.raises(ValueError, match="name"):
        check_user(user)


@pytest.mark.parametrize("user", ["alice", "al ice", "älice", "robot$ci", "a#b", "x" * 255])
def test_others_are_names(user: str) -> None:
    check_user(user)
    content, _ = with_user(b"", user, HASH)
    assert list(parse_htpasswd(content).entries) == [user]


@pytest.mark.parametrize("password", [b"", b"x" * 73, b"a\0b"])
def test_some_passwords_are_refused(password: bytes) -> None:
    with pytest.raises(ValueError, match="password"):
        check_password(password)


def test_a_list_says_of_each_line_whether_it_counts() -> None:
    dear = HASH.replace("$10$", "$15$")
    content = f"# x\na:{HASH}\nb:$apr1$x\nc:{dear}\nd:{HASH}\nd:{OTHER}\n".encode()
    found = [(each.number, each.user, each.hash, each.counts) for each in listed(content, parse_htpasswd(content))]
    assert found == [
        (2, "a", "bcrypt, cost 10", True),
        (3, "b", "of Apache's MD5, and only bcrypt counts", False),
        (4, "c", "bcrypt, cost 15, above 14", False),
        (5, "d", "bcrypt, cost 10", False),
        (6, "d", "bcrypt, cost 10", True),
    ]
