"""How addresses are read, and what is bound for them."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from portside.problems import ServingProblem
from portside.server.listening import Listener, TcpAddress, UnixAddress, bind, parse_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":5000", TcpAddress("", 5000)),
        ("[::]:5000", TcpAddress("::", 5000)),
        ("[::1]:5000", TcpAddress("::1", 5000)),
        ("127.0.0.1:5081", TcpAddress("127.0.0.1", 5081)),
        ("0.0.0.0:5000", TcpAddress("0.0.0.0", 5000)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("registry.example.com:443", TcpAddress("registry.example.com", 443)),
        ("unix:/run/portside/v1.sock", UnixAddress(Path("/run/portside/v1.sock"))),
        ("unix:///run/portside/v1.sock", UnixAddress(Path("/run/portside/v1.sock"))),
    ],
)
def test_an_address_is_read(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "5000", "localhost", "::1:5000", ":65536", ":-1", ":5000x", ":\u0665\u0660", "unix:", "unix:relative.sock"],
)
def test_what_is_no_address_is_told_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a valid address: .*(:5000|:\d+|unix:/)"):
        parse_address(text)


def test_every_address_means_both_families_on_one_port() -> None:
    (bound,) = bind([Listener("proxy", TcpAddress("::", 0))])
    try:
        families = {each.family for each in bound.sockets}
        assert {each.getsockname()[1] for each in bound.sockets} == {bound.port}
        assert bound.text == f":{bound.port}"
        assert socket.AF_INET in families
        with socket.create_connection(("127.0.0.1", bound.port or 0), timeout=5):
            pass
        if socket.AF_INET6 in families:
            with socket.create_connection(("::1", bound.port or 0), timeout=5):
                pass
    finally:
        bound.close()


def test_localhost_is_one_port_on_all_its_addresses() -> None:
    (bound,) = bind([Listener("v1", TcpAddress("localhost", 0))])
    try:
        assert {each.getsockname()[1] for each in bound.sockets} == {bound.port}
        assert bound.text == f"localhost:{bound.port}"
    finally:
        bound.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_a_busy_port_is_told_with_what_to_do(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        with pytest.raises(ServingProblem, match=rf"{port}.*`ss .*{port}'?`.*--addr"):
            bind([Listener("proxy", TcpAddress(host, port))])


def test_two_cannot_listen_on_one_port_even_if_both_are_ours() -> None:
    (first,) = bind([Listener("proxy", TcpAddress("", 0))])
    try:
        with pytest.raises(ServingProblem):
            bind([Listener("proxy", TcpAddress("", first.port or 0))])
    finally:
        first.close()


def test_when_one_cannot_be_bound_none_is() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy, socket.create_server(("127.0.0.1", 0)) as probe:
        free = probe.getsockname()[1]
        probe.close()
        with pytest.raises(ServingProblem):
            bind(
                [
                    Listener("v1", TcpAddress("127.0.0.1", free)),
                    Listener("v2", TcpAddress("127.0.0.1", busy.getsockname()[1])),
                ]
            )
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", free), timeout=5)


def test_an_address_of_another_machine_is_told() -> None:
    with pytest.raises(ServingProblem, match=r"192\.0\.2\.1 is not an address of this machine"):
        bind([Listener("proxy", TcpAddress("192.0.2.1", 0))])


def test_sockets_that_listen_are_inherited_ready_for_use() -> None:
    (bound,) = bind([Listener("proxy", TcpAddress("127.0.0.1", 0))])
    try:
        (listening,) = bound.sockets
        assert not listening.getblocking()
        assert listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)
        assert not listening.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
        assert listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT)
    finally:
        bound.close()


def test_a_unix_socket_is_for_owner_and_group(tmp_path: Path) -> None:
    path = tmp_path / "v1.sock"
    (bound,) = bind([Listener("v1", UnixAddress(path))])
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    assert (bound.port, bound.text) == (None, f"unix:{path}")
    bound.close()
    assert not path.exists()


def test_a_unix_socket_on_which_nobody_listens_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "v1.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    (bound,) = bind([Listener("v1", UnixAddress(path))])
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    bound.close()


def test_a_unix_socket_on_which_somebody_listens_stays(tmp_path: Path) -> None:
    path = tmp_path / "v1.sock"
    (first,) = bind([Listener("v1", UnixAddress(path))])
    with pytest.raises(ServingProblem, match=r"another program listens on .*v1\.sock"):
        bind([Listener("v1", UnixAddress(path))])
    first.close()


def test_a_file_in_the_place_of_a_unix_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "v1.sock"
    path.write_text("precious")
    with pytest.raises(ServingProblem, match=r"v1\.sock cannot be made"):
        bind([Listener("v1", UnixAddress(path))])
    assert path.read_text() == "precious"


def test_the_successor_of_a_unix_socket_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "v1.sock"
    (first,) = bind([Listener("v1", UnixAddress(path))])
    for each in first.sockets:
        each.close()
    (second,) = bind([Listener("v1", UnixAddress(path))])
    first.close()
    assert path.exists()
    second.close()


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ServingProblem, match=rf"its folder must exist and belong to uid {os.getuid()}"):
        bind([Listener("v1", UnixAddress(tmp_path / "absent" / "v1.sock"))])
