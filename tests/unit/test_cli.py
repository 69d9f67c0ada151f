"""The command line, as a process: its help, its answers, and one sentence for what keeps it from starting."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.commands import portside, running_command
from tests.support.programs import free_port

COMMANDS = ("serve", "proxy", "v1", "v2", "certs", "route", "health")


def _sentence(done: subprocess.CompletedProcess[str]) -> str:
    """What a command says when it cannot: one line, no traceback, status 1."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("portside: ")
    return line


def test_help_groups_the_commands_in_the_order_of_use_and_has_examples(tmp_path: Path) -> None:
    done = portside("--help", folder=tmp_path)
    assert done.returncode == 0
    words = done.stdout
    assert [words.index(f"\n  {name} ") for name in COMMANDS] == sorted(
        words.index(f"\n  {name} ") for name in COMMANDS
    )
    assert words.index("Run:") < words.index("  serve ") < words.index("Prepare and look:") < words.index("  certs ")
    assert "portside route -A 'docker/1.5.0' GET /v2/" in words
    assert max(map(len, words.splitlines())) <= 100
    assert "..." not in words.partition("Run:")[2].partition("Examples:")[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(tmp_path: Path, command: str) -> None:
    done = portside(command, "-h", folder=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: portside") or "Usage:" in done.stdout


def test_the_version_is_one_line(tmp_path: Path) -> None:
    done = portside("--version", folder=tmp_path)
    assert done.stdout.startswith("portside 0.")
    assert len(done.stdout.splitlines()) == 1


def test_a_misspelt_command_is_told_with_status_2(tmp_path: Path) -> None:
    for arguments in (["sevre"], ["serve", "--prot", "1"], ["serve", "--workers", "0"], ["route", "GET", "v2"]):
        done = portside(*arguments, folder=tmp_path)
        assert done.returncode == 2
        assert "Traceback" not in done.stderr


def test_route_explains_a_refusal_without_a_server(tmp_path: Path) -> None:
    done = portside("route", "--user-agent", "docker/1.5.0 go/go1.3.3", "GET", "/v2/", folder=tmp_path)
    assert done.returncode == 0
    facts = dict(line.split(":", 1) for line in done.stdout.splitlines())
    assert facts["client"].strip() == "docker 1.5.0"
    assert facts["goes to"].strip() == "proxy"
    assert "older than docker 1.6" in facts["why"]
    assert "404" in facts["answer"]
    assert "without Docker-Distribution-Api-Version" in facts["answer"]


def test_route_answers_machines_in_json(tmp_path: Path) -> None:
    done = portside("route", "-A", "docker/1.7.1", "--json", "put", "/v1/images/x/json", folder=tmp_path)
    facts = json.loads(done.stdout)
    assert facts["goes to"] == "v1"
    assert facts["request"] == "PUT /v1/images/x/json"
    assert facts["generation"] == "schema 1"
    assert facts["answer"] is None
    assert "503" in facts["note"]


def test_route_follows_the_guide_s_rule_where_it_is_asked_for(tmp_path: Path) -> None:
    done = portside("route", "--rule", "literal", "-A", "docker/1.4.1", "GET", "/v2/", "--json", folder=tmp_path)
    assert "with Docker-Distribution-Api-Version" in json.loads(done.stdout)["answer"]


def test_certs_makes_them_once_and_says_how_they_are_trusted(tmp_path: Path) -> None:
    first = portside("certs", "--name", "registry.example", "--port", "5443", folder=tmp_path)
    assert first.returncode == 0
    assert "were made in certs" in first.stdout
    assert "registry.example" in first.stdout
    place = "registry.example:5443"
    ca = tmp_path / "certs" / "ca.crt"
    assert f"{ca} /etc/docker/certs.d/{place}/ca.crt" in first.stdout
    assert f"{ca} /etc/containers/certs.d/{place}/ca.crt" in first.stdout
    assert f"curl --cacert {ca} https://{place}/v2/" in first.stdout
    second = portside("certs", "--name", "registry.example", folder=tmp_path)
    assert second.returncode == 0
    assert "made" not in second.stdout
    assert "names: localhost" in second.stdout


def test_a_busy_port_is_told_in_one_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = _sentence(portside("v2", "--addr", f"127.0.0.1:{port}", folder=tmp_path))
    assert f"port {port} is in use" in line
    assert "--addr" in line


def test_a_data_folder_that_cannot_be_written_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    line = _sentence(portside("v2", "--addr", "127.0.0.1:0", "--data", tmp_path / "file" / "data", folder=tmp_path))
    assert str(tmp_path / "file" / "data") in line
    assert "--data" in line


def test_a_certificate_without_its_key_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert portside("certs", folder=tmp_path).returncode == 0
    (tmp_path / "certs" / "server.key").unlink()
    line = _sentence(portside("serve", "--addr", "127.0.0.1:0", folder=tmp_path))
    assert "server.crt is there without server.key" in line


def test_a_missing_settings_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert "none.yml cannot be read: No such file" in _sentence(portside("serve", "none.yml", folder=tmp_path))
    named = portside("v2", folder=tmp_path, environment={"REGISTRY_CONFIGURATION_PATH": "/none.yml"})
    assert "/none.yml cannot be read" in _sentence(named)


def test_several_mistakes_are_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "bad.yml").write_text("version: 0.2\nhttp: {addr: x}\n")
    done = portside("serve", "bad.yml", folder=tmp_path)
    assert done.returncode == 1
    head, *mistakes = done.stderr.splitlines()
    assert head == "portside: the settings file bad.yml cannot be used:"
    assert [line.split(":")[0].strip() for line in mistakes] == ["version", "http.addr"]


def test_an_upstream_s_ca_that_is_missing_is_told_in_one_sentence(tmp_path: Path) -> None:
    settings = "gateway: {addr: '127.0.0.1:0', workers: 1, v2: {upstream: 'https://127.0.0.1:1', ca: /none.pem}}"
    (tmp_path / "proxy.yml").write_text(settings)
    assert "gateway.v2.ca: /none.pem cannot be used" in _sentence(portside("proxy", "proxy.yml", folder=tmp_path))


def test_at_start_it_says_what_listens_where_the_data_is_and_how_the_ca_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "all.yml").write_text(
        "{gateway: {addr: '127.0.0.1:0', workers: 1, v1: {addr: '127.0.0.1:0'}, v2: {addr: '127.0.0.1:0'},"
        " metrics: {addr: '127.0.0.1:0'}}, redis: {}}"
    )
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        said = running.out.read_text()
        port = running.port("all clients")
        assert running.end() == 0
    assert "a private CA and a server certificate were made in certs" in said
    assert "note: redis is not honoured yet" in said
    assert f"listening on 127.0.0.1:{port}, tls (all clients)" in said
    for what in ("v1", "v2", "metrics and health"):
        assert f"({what})" in said
    assert f"data in {tmp_path / 'data'}\n" in said
    assert "anyone who reaches this may push" in said
    assert f"/etc/docker/certs.d/localhost:{port}/ca.crt" in said
    assert running.err.read_text() == ""


def test_health_asks_the_process_of_the_same_settings(tmp_path: Path) -> None:
    settings = tmp_path / "v2.yml"
    settings.write_text(f"{{storage: inmemory, gateway: {{v2: {{unix: {tmp_path}/v2.sock}}}}}}")
    ask = ("health", "--role", "v2", "v2.yml")
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        well = portside(*ask, folder=tmp_path)
        assert (well.returncode, well.stderr) == (0, "")
        assert well.stdout == f"unix:{tmp_path}/v2.sock answers 200\n"
        named = portside("health", "--role", "v2", "--addr", f"unix:{tmp_path}/v2.sock", folder=tmp_path)
        assert named.returncode == 0
        assert running.end() == 0
    assert "does not answer" in _sentence(portside(*ask, folder=tmp_path))


def test_health_needs_no_certificate_where_clients_do(tmp_path: Path) -> None:
    assert portside("certs", folder=tmp_path).returncode == 0
    registry = free_port()
    (tmp_path / "mtls.yml").write_text(
        f"{{storage: inmemory, gateway: {{addr: '127.0.0.1:{free_port()}', workers: 1, certs: certs,"
        " tls: {clientcas: [certs/ca.crt]}, metrics: {addr: ''}, v1: {addr: ''},"
        f" v2: {{addr: '127.0.0.1:{registry}'}}}}}}"
    )
    alone = (tmp_path / "mtls.yml").read_text().replace(f"127.0.0.1:{registry}", "")
    (tmp_path / "alone.yml").write_text(alone)
    with running_command("serve", "mtls.yml", folder=tmp_path):
        done = portside("health", "mtls.yml", folder=tmp_path)
        assert (done.returncode, done.stdout) == (0, f"127.0.0.1:{registry} answers 200\n")
        done = portside("health", "alone.yml", folder=tmp_path)
        assert done.returncode == 0
        assert "asks for a client's certificate" in done.stdout
    assert "does not answer" in _sentence(portside("health", "alone.yml", folder=tmp_path))


def test_health_cannot_guess_a_port(tmp_path: Path) -> None:
    (tmp_path / "any.yml").write_text("gateway: {addr: '127.0.0.1:0'}")
    assert "choose the port" in _sentence(portside("health", "any.yml", folder=tmp_path))


def test_health_tells_a_sick_server_from_a_well_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = portside("health", "--plain", "--addr", address, "--timeout", "0.5", folder=tmp_path)
    assert "does not answer: timed out" in _sentence(done)
