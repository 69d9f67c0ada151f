"""The command line, as a process: its help, its answers, and one sentence for what keeps it from starting."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificate import make_certificate
from tests.support.commands import children, portside, running_command
from tests.support.ports import free_port
from tests.support.programs import find_program

COMMANDS = (
    "serve",
    "proxy",
    "v1",
    "v2",
    "certs",
    "route",
    "health",
    "inspect",
    "reindex",
    "access",
    "htpasswd",
    "migrate",
    "delete",
)


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


def test_a_settings_file_alone_means_serve(tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_text("version: 0.2")
    assert _sentence(portside("config.yml", folder=tmp_path)).startswith("portside: the settings file config.yml ")


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


def test_route_knows_of_a_prefix(tmp_path: Path) -> None:
    for prefix, path, goes_to in (("/r/", "/r/v2/", "v2"), ("/r", "/v2/", "proxy"), ("/r/", "/v1/_ping", "v1")):
        done = portside("route", "--prefix", prefix, "--json", "GET", path, folder=tmp_path)
        assert json.loads(done.stdout)["goes to"] == goes_to
    assert portside("route", "--prefix", "r", "GET", "/v2/", folder=tmp_path).returncode == 2


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


MISTAKES: list[tuple[tuple[str, ...], str, str]] = [
    (("serve", "--addr", "5000"), "'5000' is not a valid address", "write host:port, such as :5000"),
    (("v2", "--addr", "[::1:5000"), "is not a valid address", "in brackets"),
    (("v2", "--addr", "https://localhost:5000"), "is not a valid address", "without https://"),
    (("v2", "--addr", "192.0.2.1:5000"), "is not an address of this machine", "or :5000 for all"),
    (("v2", "--addr", "no-host.invalid:5000"), "is not an address of this machine", "or :5000 for all"),
    (("v2", "--unix", "x.sock"), "by its path from the root", "like /run/portside/v2.sock"),
    (("v2", "--unix", "/none/x.sock"), "/none/x.sock cannot be made", "its folder must exist"),
    (("v2", "--data", "a-file"), "a-file is a file", "name another with --data"),
    (("v2", "--data", "a-file/below"), "a-file/below is a file, or below one", "name another with --data"),
    (("serve", "v1root.yml"), "a-file is a file", "name another with gateway.v1.storagepath"),
    (("serve", "--certs", "a-file"), "certificates cannot be made in", "name another folder with --certs"),
    (("serve", "--name", "a b"), "'a b' is not a valid DNS name or IP address", "such as registry.example"),
    (("certs", "--name", "a b"), "'a b' is not a valid DNS name or IP address", "such as registry.example"),
    (("proxy",), "a proxy needs a registry behind it", "name one or both, or use serve"),
    (("proxy", "--v2", "registry:5000"), "gateway.v2.upstream: write it like", "http://registry:5000"),
    (("v2", "none.yml"), "none.yml cannot be read (No such file", "check the path"),
    (("v2", "."), "cannot be read (Is a directory", "name a file, not a folder"),
    (("v2", "tls.yml"), "the certificate none.crt does not exist", "put it there"),
    (("v2", "folder.yml"), "is a folder", "name the file in it"),
    (("v2", "bool.yml"), "storage.delete.enabled: it must be true or false", "(it is 'maybe')"),
    (("v2", "number.yml"), "gateway.workers: it must be a whole number", "(it is 'many')"),
    (("serve", "list.yml"), "gateway.names: it must be a list", "such as [a, b]"),
    (("v2", "section.yml"), "http: it must be a section", "(it is 'x')"),
    (("v2", "level.yml"), "log.level: it must be 'error', 'warn', 'info' or 'debug'", "(it is 'loud')"),
    (("health", "--addr", "[::1]:1", "--plain"), "[::1]:1 does not answer", "refused"),
]
FILES = {
    "v1root.yml": "gateway: {v1: {storagepath: a-file}, addr: '127.0.0.1:0'}",
    "tls.yml": "http: {addr: '127.0.0.1:0', tls: {certificate: none.crt, key: none.key}}",
    "folder.yml": "http: {addr: '127.0.0.1:0', tls: {certificate: ., key: .}}",
    "bool.yml": "storage: {delete: {enabled: maybe}}",
    "number.yml": "gateway: {workers: many}",
    "list.yml": "gateway: {names: a}",
    "section.yml": "http: x",
    "level.yml": "log: {level: loud}",
}


@pytest.mark.parametrize(("arguments", "wrong", "mend"), MISTAKES)
def test_what_keeps_it_from_starting_is_one_line_that_says_what_is_wrong_and_what_to_do(
    tmp_path: Path, arguments: tuple[str, ...], wrong: str, mend: str
) -> None:
    (tmp_path / "a-file").touch()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    line = _sentence(portside(*arguments, folder=tmp_path))
    assert wrong in line
    assert mend in line


def test_a_certificate_without_its_key_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert portside("certs", folder=tmp_path).returncode == 0
    (tmp_path / "certs" / "server.key").unlink()
    line = _sentence(portside("serve", "--addr", "127.0.0.1:0", folder=tmp_path))
    assert "server.crt exists without server.key" in line


def test_a_missing_settings_file_is_told_in_one_sentence(tmp_path: Path) -> None:
    assert "none.yml cannot be read (No such file" in _sentence(portside("serve", "none.yml", folder=tmp_path))
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


EVERYWHERE_FREE = (
    "gateway: {addr: '127.0.0.1:0', workers: 1, v1: {addr: '127.0.0.1:0'}, v2: {addr: '127.0.0.1:0'},"
    " metrics: {addr: '127.0.0.1:0'}}"
)


def test_at_start_it_says_what_listens_where_the_data_is_and_how_the_ca_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "all.yml").write_text(f"{EVERYWHERE_FREE}\nx-mine: {{}}\nlog: {{fields: {{service: registry}}}}")
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        running.wait_for_line(running.err, "curl")
        said = running.err.read_text()
        port = running.port("proxy")
        assert running.end() == 0
    lines, _, banner = said.partition("\n\n")
    for words in (
        'level=info msg="a private CA and a server certificate were made in certs',
        'level=warning msg="x-mine is not a known setting',
        f'level=info msg="listening on 127.0.0.1:{port}, tls" listener=proxy',
        f'level=info msg="listening on 127.0.0.1:{running.port("v1")}" listener=v1',
        f'level=info msg="debug server listening 127.0.0.1:{running.port("metrics")}" listener=metrics',
        f'level=info msg="data in {tmp_path / "data"}"',
        'level=warning msg="no access control is configured: anyone who reaches this may push"',
    ):
        assert words in lines
    for line in lines.splitlines():
        assert line.startswith("time=20")
        assert " service=registry instance.id=" in line
    assert f"/etc/docker/certs.d/localhost:{port}/ca.crt" in banner
    assert running.out.read_text() == ""


@pytest.mark.parametrize(
    ("there", "named", "is_told"),
    [
        ((), "", False),
        (("lost+found", ".snapshot"), "", False),
        (("docker/registry/v2/blobs", "certs"), "", False),
        (("images/0a/json", "repositories", "other"), "", False),
        (("registry/docker/registry/v2/blobs",), "", True),
        (("docker/registry/v2/blobs", "docker/registry/v2/repositories"), "docker/registry/v2", True),
        (("docker/registry/v2/blobs",), "docker/registry", True),
        (("images/0a/json", "repositories/library"), "images", True),
        (("images/0a/json", "repositories/library"), "repositories", True),
    ],
)
def test_a_folder_above_a_volume_or_inside_of_it_is_told_of(
    tmp_path: Path, there: tuple[str, ...], named: str, *, is_told: bool
) -> None:
    root = tmp_path / "root"
    for folder in ("", *there):
        (root / folder).mkdir(parents=True, exist_ok=True)
    arguments = ("v2", "--data", str(root / named), "--addr", "127.0.0.1:0")
    for _ in range(2):  # what the first start makes there does not make a volume of it
        with running_command(*arguments, folder=tmp_path) as running:
            running.wait_for_line(running.err, "no access control")
            said = running.err.read_text()
            assert running.end() == 0
        assert (f"{root / named} holds files, but no images" in said) is is_told


@pytest.mark.parametrize(("form", "message"), [("json", "msg"), ("logstash", "message")])
def test_for_machines_every_line_is_an_object_with_the_fields_from_the_first_to_the_last(
    tmp_path: Path, form: str, message: str
) -> None:
    (tmp_path / "all.yml").write_text(f"{EVERYWHERE_FREE}\nlog: {{formatter: {form}, fields: {{service: registry}}}}")
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        with socket.create_connection(("127.0.0.1", running.port("v2")), timeout=10) as connection:
            connection.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
            assert b" 200 " in connection.makefile("rb").readline()
        running.wait_for_line(running.out, "response completed")
        (worker,) = children(running.process.pid)
        os.kill(worker, signal.SIGKILL)
        running.wait_for_line(running.err, "it is replaced")
        assert running.end() == 0
    events = [json.loads(line) for path in (running.out, running.err) for line in path.read_text().splitlines()]
    assert {event["service"] for event in events} == {"registry"}
    assert len({event["instance.id"] for event in events}) == 1
    said = " ".join(event[message] for event in events)
    for words in ("response completed", "listening on", "clients must trust the CA", "it is replaced", "may push"):
        assert words in said


def test_for_machines_what_keeps_it_from_starting_is_an_object_too(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (tmp_path / "j.yml").write_text(
            f"http: {{addr: '127.0.0.1:{taken.getsockname()[1]}'}}\nlog: {{formatter: json}}"
        )
        done = portside("v2", "j.yml", folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    (event,) = map(json.loads, done.stderr.splitlines())
    assert event["level"] == "error"
    assert "is in use" in event["msg"]


def test_below_a_level_nothing_is_said_at_start_or_of_requests(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "quiet.yml").write_text(
        f"{{storage: inmemory, http: {{addr: '127.0.0.1:{port}'}}, log: {{level: error}}}}"
    )
    with running_command("v2", "quiet.yml", folder=tmp_path, port=port) as running:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").read()
        assert running.end() == 0
    assert running.err.read_text() == ""
    assert running.out.read_text() == ""


def test_the_guide_s_start_up_lines_appear_as_it_prints_them(tmp_path: Path) -> None:
    """DEPLOYMENT_GUIDE B and C, but for the ports and for what is not there yet."""
    port, debug = free_port(), free_port()
    assert portside("certs", folder=tmp_path).returncode == 0
    (tmp_path / "guide.yml").write_text(
        f"""
version: 0.1
log:
  level: debug
  fields:
    service: registry
    environment: development
storage:
  filesystem:
    rootdirectory: {tmp_path / "registry-dev"}
http:
  addr: :{port}
  secret: asecretforlocaldevelopment
  tls: {{certificate: certs/server.crt, key: certs/server.key}}
  debug:
    addr: localhost:{debug}
"""
    )
    with running_command("v2", "guide.yml", folder=tmp_path) as running:
        said = running.err.read_text()
        assert running.end() == 0
    for message in (f"listening on :{port}, tls", f"debug server listening localhost:{debug}"):
        (line,) = [line for line in said.splitlines() if f'msg="{message}"' in line]
        assert " service=registry environment=development instance.id=" in line
    assert "asecretforlocaldevelopment" not in said


def test_serve_started_twice_leaves_out_the_ports_that_nobody_asked_for(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        ours: set[int] = set()
        for port in (5081, 5082, 5083):
            with contextlib.suppress(OSError):  # somebody serves here already: as good, unless it ends meanwhile
                stack.enter_context(socket.create_server(("127.0.0.1", port)))
                ours.add(port)
        asked = ("serve", "--addr", "127.0.0.1:0", "--workers", "1")
        running = stack.enter_context(running_command(*asked, folder=tmp_path))
        for name, port in (("v1", 5081), ("v2", 5082), ("metrics", 5083)):
            line = running.wait_for_line(running.err, f"127.0.0.1:{port}")
            if port in ours or "listening" not in line:
                words = "is in use by another program, so Portside does not listen there"
                assert f"127.0.0.1:{port} ({name}) {words}" in line
                assert "level=warning" in line
                assert f"gateway.{name}.addr" in line
        assert running.port("proxy")
        assert running.end() == 0


@pytest.mark.parametrize("name", ["v1", "v2", "metrics"])
def test_a_port_that_was_asked_for_and_is_in_use_keeps_it_from_starting(tmp_path: Path, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "asked.yml").write_text(
            f"gateway: {{addr: '127.0.0.1:0', workers: 1, {name}: {{addr: '127.0.0.1:{port}'}}}}"
        )
        assert f"port {port} is in use" in _sentence(portside("serve", "asked.yml", folder=tmp_path))


def test_the_tutorial_s_certificate_is_served(tmp_path: Path) -> None:
    (tmp_path / "certs").mkdir()
    files = make_certificate(tmp_path / "certs")
    files.chain.rename(tmp_path / "certs" / "domain.crt")
    files.key.rename(tmp_path / "certs" / "domain.key")
    (tmp_path / "all.yml").write_text(EVERYWHERE_FREE)
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        context = ssl.create_default_context(cafile=str(files.ca))
        with socket.create_connection(("127.0.0.1", running.port("proxy")), timeout=10) as plain:
            context.wrap_socket(plain, server_hostname="localhost").close()
        assert running.end() == 0
    assert not (tmp_path / "certs" / "server.crt").exists()


@pytest.mark.real
def test_in_a_container_no_address_is_named_that_nobody_can_reach(tmp_path: Path) -> None:
    unshare = [find_program("unshare"), "--pid", "--fork", "--mount-proc", "--kill-child"]
    if os.geteuid() != 0:
        pytest.skip("needs root: run the tests as root to be a container's first process")
    (tmp_path / "all.yml").write_text(EVERYWHERE_FREE)
    with running_command("serve", "all.yml", folder=tmp_path, wrapper=unshare) as running:
        line = running.wait_for_line(running.err, "clients must trust the CA")
        said = running.err.read_text()
        (init,) = children(running.process.pid)
        os.kill(init, signal.SIGTERM)
        assert running.process.wait(20) == 0
    assert "docker cp CONTAINER:" in line
    assert "certs.d" not in said
    assert all(line.startswith("time=") for line in said.splitlines())


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


def test_reading_settings_needs_neither_aiohttp_nor_cryptography() -> None:
    """A container asks for its health every few seconds, and a start pays for what it imports."""
    program = "import sys, portside.ask_health, portside.running; print({'aiohttp', 'cryptography'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


def test_what_forwards_is_imported_only_where_a_registry_is_elsewhere() -> None:
    program = "import sys, portside.wiring; print('proxy.forwarding' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "access",
    [
        "",
        ", auth: {htpasswd: {realm: r, path: users}}, gateway: {access: rules}",
        ", gateway: {access: rules, auth: {openid: {issuer: i, audience: a, jwks: 'http://127.0.0.1:1/'}}}",
        ", health: {http: [{uri: 'http://127.0.0.1:1/'}]}",
        ", gateway: {v1: {mirroring: {source: 'http://127.0.0.1:1/'}}}",
        ", notifications: {endpoints: [{name: e, url: 'http://127.0.0.1:1/'}]}",
    ],
)
@pytest.mark.parametrize("role", ["serve", "v1", "v2"])
def test_what_a_worker_serves_with_is_imported_once_before_the_workers_are_forked(
    tmp_path: Path, role: str, access: str
) -> None:
    assert _imported_by_a_worker(tmp_path, role, access) == "[]\n"


_UPSTREAM = "upstream: 'http://127.0.0.1:1'"
_LOGIN = "user: u, passwordfile: password"


@pytest.mark.parametrize(
    "gateway",
    [
        f"v2: {{{_UPSTREAM}}}",
        f"v2: {{{_UPSTREAM}, files: /srv}}",
        f"access: rules, v2: {{{_UPSTREAM}, credentials: {{{_LOGIN}}}}}",
        f"access: rules, v2: {{{_UPSTREAM}, credentials: {{{_LOGIN}, realm: 'http://127.0.0.1:1/', service: s}}}}",
    ],
)
def test_what_a_proxy_forwards_with_is_imported_once_before_the_workers_are_forked(
    tmp_path: Path, gateway: str
) -> None:
    assert _imported_by_a_worker(tmp_path, "proxy", f", gateway: {{{gateway}}}") == "[]\n"


def _imported_by_a_worker(tmp_path: Path, role: str, settings: str) -> str:
    """What each of them imports by itself costs them its time and its memory each."""
    storage = f"storage: {{filesystem: {{rootdirectory: {tmp_path}}}}}"
    (tmp_path / "portside.yml").write_text(f"{{version: 0.1, {storage}{settings}}}")
    (tmp_path / "rules").write_text("- {allow: pull, to: anyone}")
    (tmp_path / "password").write_text("p")
    program = f"""
import asyncio, sys
from pathlib import Path
from portside.observe.voice import Voice
from portside.running import _import_what_is_wanted, _import_what_serves
from portside.settings.apart import begin_reading
from portside.settings.settings import Role

read = begin_reading(Role("{role}"), Path("portside.yml"), {{}})
_import_what_serves(Role("{role}"))
settings = read()
prepared = None
if settings.access is not None:
    from portside.access_control import prepare_access
    prepared = prepare_access(settings)
_import_what_is_wanted(settings)

async def work():
    from portside.observe.metrics import MetricsFolder
    from portside.wiring import build

    folder = MetricsFolder()
    before = {{*sys.modules}}
    parts = await build(settings, version="0", instance="0", started=0, voice=Voice(), prepared=prepared)
    ours = ("aiohttp.", "backends.", "portside.", "proxy.")
    print(sorted(name for name in {{*sys.modules}} - before if name.startswith(ours)))
    await parts.close()
    folder.remove()

asyncio.run(work())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


ASKED_BY_EVERY_REQUEST = {
    "backends.model.conversion": {"derived", "impossible", "plans", "policy", "readers"},
    "backends.registry.derived": {
        *("adoption", "blobs", "conversions", "documents", "hints", "making", "records", "running", "sources"),
    },
    "backends.registry.layers": {"layer_blobs", "settings"},
    "backends.registry.v1_view": {"viewer"},
}
"""Of what converts: what says whether something was converted, what a client reads, and what the settings hold."""


def test_what_converts_and_reads_layers_is_imported_where_somebody_asks_for_it() -> None:
    """A start pays for what it imports, in time and in memory; what many requests need, workers should share."""
    program = """
import sys
from portside.running import _import_what_serves
from portside.settings.settings import Role
_import_what_serves(Role.SERVE)
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    imported = done.stdout.split()
    for package, modules in ASKED_BY_EVERY_REQUEST.items():
        below = {name.removeprefix(f"{package}.") for name in imported if name.startswith(f"{package}.")}
        assert below == modules, package
    assert [name for name in imported if name.startswith("backends.auth")] == []  # only where somebody is asked
    slow = {"backends.model.go_json", "isal", "cryptography", "prometheus_client", "pydantic", "yaml"}
    assert slow & {*imported} == set()
    of_aiohttp = {"client", "client_reqrep", "connector", "cookiejar", "formdata", "resolver", "tracing", "web_app"}
    assert {f"aiohttp.{name}" for name in of_aiohttp} & {*imported} == set()


def test_a_proxy_imports_no_registry() -> None:
    """What it needs of them is what the settings' values are made of, and their words for errors."""
    program = """
import sys
from portside.running import _import_what_serves
from portside.settings.settings import Role
_import_what_serves(Role.PROXY)
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    imported = done.stdout.split()
    assert {name for name in imported if name.startswith("backends.registry.")} <= {
        *(f"backends.registry.{name}" for name in ("index_settings", "purge_settings", "still_working", "validation")),
        *("backends.registry.layers", "backends.registry.layers.settings"),
    }
    assert {name.rpartition(".")[2] for name in imported if name.startswith(("backends.v1.", "backends.v2."))} <= {
        *("errors", "headers", "settings"),
    }
    for name in ("backends.storage.filesystem", "backends.storage.layout", "backends.web.dispatch"):
        assert name not in imported


def test_health_cannot_guess_a_port(tmp_path: Path) -> None:
    (tmp_path / "any.yml").write_text("gateway: {addr: '127.0.0.1:0'}")
    assert "choose the port" in _sentence(portside("health", "any.yml", folder=tmp_path))


def test_health_tells_a_sick_server_from_a_well_one(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        done = portside("health", "--plain", "--addr", address, "--timeout", "0.5", folder=tmp_path)
    assert "does not answer (timed out)" in _sentence(done)
