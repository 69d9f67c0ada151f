"""The 2015 guide's own settings file, run as it is but for ports and folder: what it says, and what it does."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import socket
import ssl
from pathlib import Path

import pytest

from tests.support.certificate import make_certificate
from tests.support.commands import RunningCommand, portside, running_command
from tests.support.ports import free_port

GUIDE = Path(__file__).parents[1] / "data" / "config" / "guide-2015.yml"
TLS = "  tls:\n    certificate: {chain}\n    key: {key}\n"


def write_guide(folder: Path, *, tls: str = "") -> tuple[Path, int, int, int]:
    """The guide's file with ports that are free, those of the registry, the debug server and the webhook."""
    ports = free_port(), free_port(), free_port()
    text = GUIDE.read_text()
    for before, after in (
        (":5000", f":{ports[0]}"),
        ("localhost:5001", f"localhost:{ports[1]}"),
        ("localhost:5003", f"localhost:{ports[2]}"),
        ("/tmp/registry-dev", str(folder / "registry-dev")),
        ("  debug:\n", f"{tls}  debug:\n"),
    ):
        assert text.count(before) == 1
        text = text.replace(before, after)
    path = folder / "config.yml"
    path.write_text(text)
    return path, *ports


def messages(running: RunningCommand) -> list[str]:
    return re.findall(r'level=(?:info|warning) msg="((?:[^"\\]|\\.)*)"', running.err.read_text())


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("localhost", port, timeout=10)
    try:
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_start_up_says_what_the_guide_prints(tmp_path: Path) -> None:
    path, port, debug, _ = write_guide(tmp_path)
    with running_command("v2", path, folder=tmp_path) as running:
        lines = running.err.read_text().splitlines()
        said = messages(running)
        assert running.end() == 0
    expected = [
        "endpoint local-8082 disabled, skipping",
        "endpoint local-8083 disabled, skipping",
        "using inmemory layerinfo cache",
        f"listening on :{port}",
        f"debug server listening localhost:{debug}",
    ]
    assert [each for each in said if each in expected] == expected
    assert said[0] == f"settings from {path}"
    instances = {re.search(r" instance\.id=(\S+)", line) for line in lines}
    assert len({found and found[1] for found in instances}) == 1
    assert all(" service=registry environment=development " in line for line in lines)


def test_it_warns_of_what_is_odd_and_of_nothing_else(tmp_path: Path) -> None:
    path, *_ = write_guide(tmp_path)
    with running_command("v2", path, folder=tmp_path) as running:
        warnings = re.findall(r'level=warning msg="(\S+) (\S+ \S+)', running.err.read_text())
    assert warnings == [
        ("storage.cache.layerinfo", "is called"),
        ("redis.addr", "is called"),
        ("redis.pool", "is called"),
        ("redis", "has no"),
        ("http.secret", "is not"),
        ("no", "access control"),
    ]


def test_everything_in_it_has_its_effect(tmp_path: Path) -> None:
    path, port, debug, webhook = write_guide(tmp_path)
    with socket.socket() as listener, running_command("v2", path, folder=tmp_path) as running:
        listener.bind(("127.0.0.1", webhook))
        listener.listen()
        listener.settimeout(1)
        config, layer = b"{}", b"layer"
        digests = []
        for blob in (config, layer):
            digests.append(f"sha256:{hashlib.sha256(blob).hexdigest()}")
            connection = http.client.HTTPConnection("localhost", port, timeout=10)
            connection.request("POST", f"/v2/hello-mine/blobs/uploads/?digest={digests[-1]}", blob)
            assert connection.getresponse().status == 201
            connection.close()
        media_type = "application/vnd.docker.distribution.manifest.v2+json"
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": 2, "digest": digests[0]},
            "layers": [
                {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": 5, "digest": digests[1]}
            ],
        }
        body = json.dumps(manifest).encode()
        status, _ = ask(port, "PUT", "/v2/hello-mine/manifests/latest", body, Content_Type=media_type)
        assert status == 201
        assert ask(port, "GET", "/v2/hello-mine/tags/list") == (200, b'{"name":"hello-mine","tags":["latest"]}\n')
        assert ask(debug, "GET", "/debug/health")[0] == 200
        assert ask(debug, "GET", "/metrics")[0] == 200
        with pytest.raises(TimeoutError):  # both endpoints are disabled
            listener.accept()
        assert running.end() == 0
    assert (tmp_path / "registry-dev" / "docker" / "registry" / "v2" / "repositories" / "hello-mine").is_dir()
    assert "level=debug" in running.err.read_text()


def test_with_the_guide_s_tls_it_says_so_and_names_a_client_that_does_not_trust_it(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    path, port, *_ = write_guide(tmp_path, tls=TLS.format(chain=certificate.chain, key=certificate.key))
    with running_command("v2", path, folder=tmp_path) as running:
        assert f"listening on :{port}, tls" in messages(running)
        with pytest.raises(ssl.SSLCertVerificationError), socket.create_connection(("127.0.0.1", port)) as plain:
            ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
        running.wait_for_line(running.err, "TLS handshake error from 127.0.0.1:", "unknown certificate authority")
        trusting = ssl.create_default_context(cafile=str(certificate.ca))
        connection = http.client.HTTPSConnection("localhost", port, context=trusting, timeout=10)
        connection.request("GET", "/v2/")
        assert connection.getresponse().status == 200
        connection.close()
        assert running.end() == 0


def test_checking_it_finds_nothing_that_keeps_it_from_starting(tmp_path: Path) -> None:
    done = portside("config", "check", "--role", "v2", GUIDE, folder=tmp_path)
    assert done.returncode == 0
    assert "would start" in done.stdout
