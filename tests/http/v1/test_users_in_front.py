"""An nginx with users in front of the v1 registry, as docs/v1-left-out.md shows it and docker-registry had it."""

from __future__ import annotations

import base64
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.v1server import RunningRegistry, make_pushed

pytestmark = pytest.mark.real

DOCS = Path(__file__).parents[3] / "docs" / "v1-left-out.md"
BASE = make_pushed("a", layer=bytes(range(256)) * 400)


async def test_ping_is_open_and_all_else_is_for_users(tmp_path: Path) -> None:
    front, port = free_port(), free_port()
    settings = tmp_path / "portside.yml"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "data")}}
    settings.write_text(yaml.safe_dump({"storage": storage, "http": {"addr": f"127.0.0.1:{port}"}}))
    block = re.search(r"```nginx\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert block is not None
    users = tmp_path / "registry.htpasswd"
    hashed = subprocess.run(  # noqa: ASYNC221 - before anything runs
        [find_program("openssl"), "passwd", "-apr1", "wonder"], capture_output=True, text=True, check=True
    )
    users.write_text(f"alice:{hashed.stdout.strip()}\n")
    users.chmod(0o644)
    locations = block[1].replace("127.0.0.1:5081", f"127.0.0.1:{port}")
    locations = locations.replace("/etc/nginx/registry.htpasswd", str(users))
    conf = tmp_path / "nginx.conf"
    conf.write_text(
        f"daemon off; user root; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.log;\nevents {{}}\n"
        f"http {{\naccess_log off;\nserver {{\nlisten 127.0.0.1:{front};\nclient_max_body_size 0;\n{locations}}}\n}}\n"
    )
    alice = "Authorization: Basic " + base64.b64encode(b"alice:wonder").decode()
    with (
        running([sys.executable, "-m", "portside.cli", "v1", str(settings)], tmp_path / "v1.log", port=port),
        running([find_program("nginx"), "-c", str(conf)], tmp_path / "nginx.out", port=front),
    ):
        registry, itself = RunningRegistry(front), RunningRegistry(port)
        await itself.push("library/app", "latest", [BASE])
        ping = await registry.ask("GET", "/v1/_ping")
        assert (ping.status, ping.value("X-Docker-Registry-Standalone")) == (200, "True")
        for path in ("/v1/users/", "/v1/repositories/app/tags", f"/v1/images/{BASE.id}/layer"):
            assert (await registry.ask("GET", path)).status == 401
            assert (await registry.ask("GET", path, alice)).status == 200
        assert (await registry.ask("GET", f"/v1/images/{BASE.id}/layer", alice)).body == BASE.layer
        put = await registry.ask("PUT", "/v1/repositories/app/tags/more", body=f'"{BASE.id}"'.encode())
        assert put.status == 401
        put = await registry.ask("PUT", "/v1/repositories/app/tags/more", alice, body=f'"{BASE.id}"'.encode())
        assert put.status == 200
        begun = await registry.ask("GET", "/v1/repositories/app/images", alice)
        assert begun.value("X-Docker-Endpoints") == registry.authority
