"""`/debug/health` and `portside health`: what a data folder, a volume or a registry elsewhere does to them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from tests.support.commands import RunningCommand, portside, running_command
from tests.support.mounts import fill_up, make_read_only, mounted_tmpfs
from tests.support.ports import free_port
from tests.support.programs import find_program

OFTEN = "health: {storagedriver: {interval: 50ms}}"
HEALTH = "/debug/health"


def settings(folder: Path, data: Path, more: str = OFTEN) -> int:
    """Writes v2.yml for one worker; returns the port."""
    port = free_port()
    (folder / "v2.yml").write_text(
        f"storage: {{filesystem: {{rootdirectory: {data}}}}}\n"
        f"gateway: {{workers: 1, v2: {{addr: '127.0.0.1:{port}'}}}}\n{more}\n"
    )
    return port


def ask(
    port: int, path: str = HEALTH, headers: Mapping[str, str] = {}, *, method: str = "GET"
) -> tuple[int, dict[str, str]]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=dict(headers))
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, json.loads(body) if body else {}


def until(port: int, status: int, *words: str, seconds: float = 45.0) -> dict[str, str]:
    """Asks until the status is this and the body has these words."""
    deadline = time.monotonic() + seconds
    while True:
        found, body = ask(port)
        if found == status and all(word in json.dumps(body) for word in words) and bool(words) == bool(body):
            return body
        assert time.monotonic() < deadline, (found, body)
        time.sleep(0.02)


def delete(data: Path) -> None:
    shutil.rmtree(data)


def move(data: Path) -> None:
    data.rename(data.with_name("elsewhere"))


def move_and_make_anew(data: Path) -> None:
    move(data)
    data.mkdir()


def put_a_file_there(data: Path) -> None:
    move(data)
    data.touch()


LOST: list[tuple[Callable[[Path], None], str]] = [
    (delete, "is gone, deleted or moved"),
    (move, "is gone, deleted or moved"),
    (move_and_make_anew, "is not the folder that was opened at the start"),
    (put_a_file_there, "cannot be read (Not a directory)"),
]


@pytest.mark.parametrize(("lose", "words"), LOST, ids=lambda each: getattr(each, "__name__", ""))
def test_a_data_folder_that_is_lost_is_503(tmp_path: Path, lose: Callable[[Path], None], words: str) -> None:
    data = tmp_path / "data"
    port = settings(tmp_path, data)
    with running_command("v2", "v2.yml", folder=tmp_path):
        until(port, 200)
        well = portside("health", "--role", "v2", "v2.yml", folder=tmp_path)
        assert (well.returncode, well.stdout) == (0, f"127.0.0.1:{port} answers 200\n")
        lose(data)
        body = until(port, 503, words)
        assert list(body) == ["storage"]
        assert str(data) in body["storage"]
        sick = portside("health", "--role", "v2", "v2.yml", folder=tmp_path)
        assert (sick.returncode, sick.stdout) == (1, "")
        assert sick.stderr.startswith(f"portside: 127.0.0.1:{port} answers 503; storage: ")
        assert words in sick.stderr


def test_a_data_folder_that_comes_back_is_200_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    port = settings(tmp_path, data)
    with running_command("v2", "v2.yml", folder=tmp_path):
        until(port, 200)
        move(data)
        until(port, 503, "gone")
        (tmp_path / "elsewhere").rename(data)
        until(port, 200)


@pytest.fixture
def obedient() -> Sequence[str]:
    """Runs a command that obeys permissions, although root starts it."""
    program = find_program("setpriv")
    dropped = "-dac_override,-dac_read_search"
    wrapper = (program, f"--bounding-set={dropped}", f"--inh-caps={dropped}")
    if subprocess.run([*wrapper, "true"], check=False, capture_output=True).returncode:
        pytest.skip("setpriv may not take capabilities here: CAP_SETPCAP is needed")
    return wrapper


@pytest.mark.parametrize("below", [".", "docker/registry/v2/repositories", "docker/registry/v2/blobs", "images"])
def test_a_folder_that_may_not_be_read_is_503(tmp_path: Path, obedient: Sequence[str], below: str) -> None:
    data = tmp_path / "data"
    (data / below).mkdir(parents=True)
    port = settings(tmp_path, data)
    with running_command("v2", "v2.yml", folder=tmp_path, wrapper=obedient):
        until(port, 200)
        (data / below).chmod(0)
        until(port, 503, "cannot be read (Permission denied)", f"uid {os.getuid()}")
        (data / below).chmod(0o755)
        until(port, 200)


def test_a_folder_that_may_not_be_written_is_told_while_pulls_work(tmp_path: Path, obedient: Sequence[str]) -> None:
    data = tmp_path / "data"
    port = settings(tmp_path, data)
    with running_command("v2", "v2.yml", folder=tmp_path, wrapper=obedient):
        until(port, 200)
        (data / "docker/registry/portside/tmp").chmod(0o555)
        until(port, 200, "cannot be written (Permission denied)", "pulls work, pushes do not")


def test_a_volume_that_became_read_only_is_told_while_pulls_work(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "data") as data:
        port = settings(tmp_path, data)
        with running_command("v2", "v2.yml", folder=tmp_path):
            until(port, 200)
            make_read_only(data)
            until(port, 200, "cannot be written (Read-only file system)", "pulls work, pushes do not")
            done = portside("health", "--role", "v2", "v2.yml", folder=tmp_path)
            assert done.returncode == 0
            assert done.stdout.startswith(f"127.0.0.1:{port} answers 200; storage: the data folder {data} cannot")


def test_a_full_volume_is_told_while_pulls_work(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "data") as data:
        port = settings(tmp_path, data)
        with running_command("v2", "v2.yml", folder=tmp_path):
            until(port, 200)
            filler = fill_up(data)
            until(port, 200, "is full (No space left on device)", "pulls work, pushes do not")
            filler.unlink()
            until(port, 200)


@pytest.mark.parametrize("short", ["bytes", "inodes"])
def test_a_full_volume_is_served_from_the_start(tmp_path: Path, short: str) -> None:
    """A restart in the middle of the trouble does not take pulls away too."""
    with mounted_tmpfs(tmp_path / "data", inodes=200) as data:
        (data / "docker/registry/v2/blobs").mkdir(parents=True)
        port = settings(tmp_path, data)
        if short == "bytes":
            fill_up(data)
        with contextlib.suppress(OSError):
            for number in range(0 if short == "bytes" else 300):
                (data / f"file{number}").touch()
        with running_command("v2", "v2.yml", folder=tmp_path):
            until(port, 200, "is full (No space left on device)")
            assert ask(port, "/v2/")[0] == 200
            assert ask(port, "/v2/team/app/blobs/uploads/", method="POST")[0] == 507


@pytest.mark.parametrize("role", ["v1", "v2", "serve"])
def test_a_read_only_volume_is_served_when_nothing_is_to_be_written(tmp_path: Path, role: str) -> None:
    port, metrics = free_port(), free_port()
    with mounted_tmpfs(tmp_path / "data") as data:
        make_read_only(data)
        text = f"""
        storage: {{filesystem: {{rootdirectory: {data}}}, maintenance: {{readonly: {{enabled: %s}}}}}}
        gateway:
          workers: 1
          addr: 127.0.0.1:{port}
          v1: {{addr: "{f"127.0.0.1:{port}" if role == "v1" else ""}"}}
          v2: {{addr: "{f"127.0.0.1:{port}" if role == "v2" else ""}"}}
          metrics: {{addr: 127.0.0.1:{metrics}}}
        {OFTEN}
        """
        (tmp_path / "on.yml").write_text(text % "true")
        with running_command(role, "on.yml", folder=tmp_path):
            until(metrics, 200)
            done = portside("health", "--role", role, "on.yml", folder=tmp_path)
            assert (done.returncode, done.stdout) == (0, f"127.0.0.1:{port} answers 200\n")
        (tmp_path / "off.yml").write_text(text % "false")
        refused = portside(role, "off.yml", folder=tmp_path)
        assert refused.returncode == 1
        assert (
            f"the data folder {data} cannot be written (Read-only file system): mount it for writing" in refused.stderr
        )
        assert "storage.maintenance.readonly.enabled" in refused.stderr
        assert len(refused.stderr.splitlines()) == 1


def test_asking_leaves_no_access_line_and_counts_nowhere_on_any_listener(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("proxy", "v1", "v2", "metrics")}
    (tmp_path / "all.yml").write_text(
        f"storage: inmemory\nhttp: {{addr: '127.0.0.1:{ports['proxy']}'}}\n"
        f"gateway: {{v1: {{addr: '127.0.0.1:{ports['v1']}'}}, v2: {{addr: '127.0.0.1:{ports['v2']}'}},"
        f" metrics: {{addr: '127.0.0.1:{ports['metrics']}'}}}}\n{OFTEN}\n"
    )
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        for port in ports.values():
            assert ask(port) == (200, {})
            assert ask(port, method="HEAD") == (200, {})
        for role in ("serve", "v1", "v2"):
            assert portside("health", "--role", role, "all.yml", folder=tmp_path).returncode == 0
        assert ask(ports["v2"], "/v2/")[0] == 200
        running.wait_for_line(running.out, '"GET /v2/ HTTP/1.1" 200')
        lines = [line for line in running.out.read_text().splitlines() if "HTTP/1.1" in line]
        assert len(lines) == 1, lines
        connection = HTTPConnection("127.0.0.1", ports["metrics"], timeout=10)
        connection.request("GET", "/metrics")
        page = connection.getresponse().read().decode()
        connection.close()
        assert [line for line in page.splitlines() if line.startswith("registry_http_requests_total{")] == [
            'registry_http_requests_total{backend="v2",code="200",handler="base",listener="v2",method="get"} 1.0'
        ]


def test_only_the_address_itself_is_without_a_line(tmp_path: Path) -> None:
    """Nothing that a client can write passes a request off as a question for health."""
    port = settings(tmp_path, tmp_path / "data")
    asked = [("POST", HEALTH), ("GET", f"{HEALTH}?x=1"), ("GET", f"{HEALTH}/"), ("GET", "/%64ebug/health")]
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        for method, path in asked:
            assert ask(port, path, method=method, headers={"User-Agent": "portside-health"})[0] == 404
            running.wait_for_line(running.out, f'"{method} {path} HTTP/1.1" 404')


def test_strangers_are_told_no_reasons(tmp_path: Path) -> None:
    data = tmp_path / "data"
    port = settings(tmp_path, data)
    with running_command("v2", "v2.yml", folder=tmp_path):
        until(port, 200)
        delete(data)
        until(port, 503, "gone")
        for header in ("X-Forwarded-For", "Forwarded", "X-Real-IP"):
            assert ask(port, headers={header: "192.0.2.1"}) == (503, {"storage": "failing"})


def test_checks_of_storage_can_be_turned_off(tmp_path: Path) -> None:
    data = tmp_path / "data"
    port = settings(tmp_path, data, more="health: {storagedriver: {enabled: false}}")
    with running_command("v2", "v2.yml", folder=tmp_path):
        delete(data)
        assert ask(port) == (200, {})


def test_what_all_workers_see_is_logged_once(tmp_path: Path) -> None:
    data = tmp_path / "data"
    port = settings(tmp_path, data)
    text = (tmp_path / "v2.yml").read_text().replace("workers: 1", "workers: 3")
    (tmp_path / "v2.yml").write_text(text)
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        until(port, 200)
        move(data)
        running.wait_for_line(running.err, "level=error", "health: storage: ", "is gone, deleted or moved")
        time.sleep(0.3)
        (tmp_path / "elsewhere").rename(data)
        running.wait_for_line(running.err, "level=info", "health: storage: healthy again")
        time.sleep(0.3)
    assert len([line for line in running.err.read_text().splitlines() if "health: " in line]) == 2


# a proxy in front of registries elsewhere


def proxy_settings(folder: Path, **upstreams: str) -> int:
    """Writes proxy.yml, plain; returns the port."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    places = ", ".join(f"{name}: {{upstream: '{place}'}}" for name, place in upstreams.items())
    (folder / "proxy.yml").write_text(
        f"http: {{addr: '127.0.0.1:{port}'}}\ngateway: {{workers: 1, {places}}}\n{OFTEN}\n"
    )
    return port


def registry_settings(folder: Path, role: str) -> str:
    """Writes <role>.yml; returns the address of its unix socket."""
    folder.mkdir(exist_ok=True)
    place = f"unix:{folder}/{role}.sock"
    (folder / f"{role}.yml").write_text(
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"gateway: {{workers: 1, {role}: {{addr: '', unix: '{place}'}}}}\n{OFTEN}\n"
    )
    return place


def test_the_proxy_s_health_sees_its_registries(tmp_path: Path) -> None:
    places = {role: registry_settings(tmp_path / role, role) for role in ("v1", "v2")}
    port = proxy_settings(tmp_path / "proxy", **places)
    with running_command("proxy", "proxy.yml", folder=tmp_path / "proxy") as proxy:
        until(port, 503, "v1 registry", "v2 registry", "does not answer")
        done = portside("health", "--role", "proxy", "proxy.yml", folder=tmp_path / "proxy")
        assert done.returncode == 1
        assert f"v2 registry: the v2 registry at {places['v2']} does not answer: it cannot be reached" in done.stderr
        with running_command("v1", "v1.yml", folder=tmp_path / "v1") as v1:
            assert list(until(port, 503, "v2 registry")) == ["v2 registry"]
            with running_command("v2", "v2.yml", folder=tmp_path / "v2") as v2:
                until(port, 200)
                done = portside("health", "--role", "proxy", "proxy.yml", folder=tmp_path / "proxy")
                assert (done.returncode, done.stdout) == (0, f"127.0.0.1:{port} answers 200\n")
                shutil.rmtree(tmp_path / "v2/data")
                body = until(port, 503, "is not well")
                assert "is gone, deleted or moved" in body["v2 registry"]
                for running in (proxy, v1, v2):
                    assert no_access_lines(running) == []


def no_access_lines(running: RunningCommand) -> list[str]:
    return [line for line in running.out.read_text().splitlines() if "HTTP/1.1" in line]


def test_a_registry_that_is_not_ours_must_only_answer(tmp_path: Path) -> None:
    """It has no such address, or says something else there."""
    answers, said = {HEALTH: 404, "/v2/": 401}, b"["

    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(answers[self.path])
            self.send_header("Content-Length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        @override
        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Foreign) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        port = proxy_settings(tmp_path, v2=f"http://127.0.0.1:{server.server_address[1]}")
        try:
            with running_command("proxy", "proxy.yml", folder=tmp_path):
                until(port, 200)
                answers[HEALTH] = 503
                until(port, 200)
                said = b"[" * 50_000  # nested too deeply to be read
                time.sleep(0.5)  # it is asked meanwhile
                until(port, 200)
                answers["/v2/"] = 500
                until(port, 503, "v2 registry", "ping")
                answers |= {HEALTH: 400, "/v2/": 400}  # what servers of TLS say to who speaks plain HTTP
                until(
                    port, 503, "v2 registry", "answers 400: where it speaks TLS, write https:// in gateway.v2.upstream"
                )
        finally:
            server.shutdown()
            thread.join()
