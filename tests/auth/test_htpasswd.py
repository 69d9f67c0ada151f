"""What an htpasswd file says; `tests/http/test_htpasswd_beside_distribution.py` asks distribution the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.htpasswd import (
    HtpasswdError,
    basic_challenge,
    go_quoted,
    parse_htpasswd,
    password_bytes,
)
from backends.auth.passwords import compare

REST = "abcdefghijklmnopqrstuu" + "A" * 31
HASH = f"$2b$10${REST}"


def users(text: str | bytes) -> dict[str, int]:
    """Who can log in, and the line of each."""
    content = text.encode() if isinstance(text, str) else text
    return {user: entry.line for user, entry in parse_htpasswd(content).entries.items()}


def remarks(text: str) -> list[str]:
    return [each.sentence for each in parse_htpasswd(text.encode()).remarks]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", {}),
        (f"alice:{HASH}", {"alice": 1}),
        (f"alice:{HASH}\n", {"alice": 1}),
        (f"alice:{HASH}\r\nbob:{HASH}\r\n", {"alice": 1, "bob": 2}),
        (f"# alice:{HASH}\n  # x\n\n \t\nbob:{HASH}", {"bob": 5}),
        (f"#no colon\nbob:{HASH}", {"bob": 2}),
        (f"  alice:{HASH}  \n", {"alice": 1}),
        (f"alice:{HASH}\u00a0\u2028\x85", {"alice": 1}),
        (f"al ice:{HASH}", {"al ice": 1}),
        (f"alice :{HASH}", {"alice ": 1}),
        (f"\ufeffalice:{HASH}", {"\ufeffalice": 1}),
        (f"älice:{HASH}", {"älice": 1}),
        (f"k8s:system:{HASH}", {}),  # the user ends at the first colon
        (f"alice:{HASH}:comment", {"alice": 1}),
        (f"alice: {HASH}", {}),
        (f"alice:{HASH}\x1f", {"alice": 1}),
        (f"\x1falice:{HASH}", {"\x1falice": 1}),  # Python's strip() would take this away
        *((f"alice:$2{minor}$10${REST}", {"alice": 1}) for minor in "aby"),
        *((f"alice:$2{minor}$10${REST}", {}) for minor in ("", "x", "c", "B")),
        *((f"alice:$2b${cost}${REST}", {"alice": 1}) for cost in ("04", "09", "12", "14")),
        *((f"alice:$2b${cost}${REST}", {}) for cost in ("4", "03", "00", "15", "31", "32", "99", "+4", "1\u0660")),
        (f"alice:{HASH[:-1]}", {}),
        (f"alice:{HASH}A", {"alice": 1}),
        (f"alice:{HASH[:-1]}!", {}),
        ("alice:$apr1$abcdefgh$0123456789012345678901", {}),
        ("alice:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=", {}),
        ("alice:secret", {}),
        ("alice:", {}),
        (f":{HASH}", {}),
        (":", {}),
        (f"alice:{HASH}\nalice:{HASH}", {"alice": 2}),
        (f"alice:{HASH}\nalice:no", {}),  # the last line counts, whatever it is
        (f"alice:no\nalice:{HASH}", {"alice": 2}),
    ],
)
def test_who_can_log_in(text: str, found: dict[str, int]) -> None:
    assert users(text) == found


def test_bytes_that_are_no_utf_8_are_a_user_like_others() -> None:
    assert users(b"\xff\x85:" + HASH.encode() + b"\n") == {"\udcff\udc85": 1}


@pytest.mark.parametrize("line", ["alice", "alice no colon", "{SHA}x", "x" * 65536, f"{'x' * 65500}:{HASH}"])
def test_a_line_that_is_none_spoils_the_file(line: str) -> None:
    with pytest.raises(HtpasswdError) as raised:
        parse_htpasswd(f"bob:{HASH}\n{line}\n".encode())
    assert raised.value.line == 2
    assert "alice" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("alice:$apr1$x$y", "line 1 (alice) has no effect: its hash is of Apache's MD5, and only bcrypt counts"),
        ("alice:{SHA}x", "its hash is a SHA-1, and"),
        ("alice:$6$x", "its hash is a SHA-512 of crypt(3), and"),
        ("alice:$2b$10$x", "its hash is not a whole bcrypt hash, and"),
        ("alice:secret", "its hash is of another kind, and"),
        (f"\nalice:$2b$15${REST}", "line 2 (alice) has no effect: its cost is 15, at which one check takes longer"),
        (f":{HASH}", "line 1 (without a user) has no effect: it names no user"),
        (f"a\x1b[2J:{HASH[:-1]}", "line 1 (a?[2J) has no effect"),
        (f"alice:{HASH}\n\nalice:{HASH}", "line 1 has no effect: alice is in line 3 again"),
    ],
)
def test_what_has_no_effect_is_named(text: str, said: str) -> None:
    (sentence,) = remarks(text)
    assert said in sentence
    assert "secret" not in sentence
    assert HASH not in sentence


def test_remarks_are_in_the_order_of_lines() -> None:
    text = f"a:{HASH}\nb:no\na:{HASH}\na:no\n"
    assert [each.line for each in parse_htpasswd(text.encode()).remarks] == [1, 2, 3, 4]


@pytest.mark.parametrize(("costs", "dummy"), [([], 10), ([4], 4), ([10, 12, 5], 12), ([4, 15], 4)])
def test_the_hash_of_unknown_users_is_as_expensive_as_the_most_expensive(costs: list[int], dummy: int) -> None:
    text = "".join(f"u{number}:$2b${cost:02d}${REST}\n" for number, cost in enumerate(costs))
    table = parse_htpasswd(text.encode())
    assert table.dummy.startswith(b"$2b$%02d$" % dummy)
    assert users(b"nobody:" + table.dummy) == {"nobody": 1}  # bcrypt takes it for a hash
    assert table.hash_of("nobody") == table.dummy


def test_no_hash_is_shown_by_accident() -> None:
    table = parse_htpasswd(f"alice:{HASH}\n".encode())
    assert REST not in repr(table)
    assert REST not in repr(table.entries["alice"])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_file_or_named_as_none(content: bytes) -> None:
    lines = content.count(b"\n") + 1
    try:
        found = parse_htpasswd(content).entries.values()
    except HtpasswdError as error:
        line = error.line
    else:
        line = lines
        assert all(len(entry.hash) == 60 for entry in found)
    assert 0 < line <= lines


NAMES = st.text(st.characters(exclude_characters=":\n#", exclude_categories=["Cs", "Zs", "Zl", "Zp", "Cc"]), min_size=1)


@given(st.lists(NAMES, max_size=8))
def test_every_user_of_a_file_is_found_at_its_last_line(names: list[str]) -> None:
    text = "".join(f"{name}:{HASH}\n" for name in names)
    assert users(text) == {name: number for number, name in enumerate(names, start=1)}


@pytest.mark.parametrize(
    ("realm", "value"),
    [
        ("Registry Realm", 'Basic realm="Registry Realm"'),
        ("", 'Basic realm=""'),
        ('a "quoted" one\\', r'Basic realm="a \"quoted\" one\\"'),
        ("ü 日本", 'Basic realm="ü 日本"'),
        ("a\r\nSet-Cookie: x", r'Basic realm="a\r\nSet-Cookie: x"'),
        ("\x00\x1f\x7f\a\b\f\t\v", r'Basic realm="\x00\x1f\x7f\a\b\f\t\v"'),
        ("\u00a0\u200b\U000e0001", r'Basic realm="\u00a0\u200b\U000e0001"'),
        ("\udcff", r'Basic realm="\xff"'),
    ],
)
def test_the_challenge_is_distributions(realm: str, value: str) -> None:
    assert basic_challenge(realm) == value


@given(st.text())
def test_a_realm_never_leaves_its_header(text: str) -> None:
    quoted = go_quoted(text)
    assert quoted.isprintable()
    quoted.encode()


# Made by htpasswd 2.4 (apache), by Go's bcrypt, by bcrypt 5, by hand, all at cost 4.
MADE = b"$2b$04$1OHB4azFLhj9z1FuTMYloeNYBfn8llNjh/RTtzM.1xMR1zA5LIMNG"


def test_a_nul_in_a_password_counts() -> None:
    assert compare(b"a\0b", MADE)
    assert not compare(b"a\0c", MADE)
    assert not compare(b"a", MADE)


def test_bits_of_a_salt_that_do_not_count_do_not_count() -> None:
    assert compare(b"a\0b", MADE[:28] + b"f" + MADE[29:])  # the same salt, written otherwise
    assert not compare(b"a\0b", MADE[:28] + b"O" + MADE[29:])


def test_72_bytes_count() -> None:
    assert password_bytes("x" * 80) == b"x" * 72
    assert password_bytes("ü" * 40) == ("ü" * 36).encode()
    assert password_bytes("\udcff") == b"\xff"


@given(st.binary(max_size=70))
def test_a_hash_that_is_none_fits_no_password(hashed: bytes) -> None:
    if not hashed.startswith(b"$2"):
        assert not compare(b"x", hashed)
