"""docker-registry 0.9.1 itself runs here, where a Python 2.7 is found: what tests compare Portside with."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from pathlib import Path

from tests.support.docker_registry_0_9_1 import OriginalRegistry, docker_registry_0_9_1


def ask(registry: OriginalRegistry, method: str, target: str, body: bytes | None = None) -> tuple[int, bytes]:
    with closing(http.client.HTTPConnection("127.0.0.1", registry.port, timeout=20)) as connection:
        connection.request(method, target, body)
        answer = connection.getresponse()
        return answer.status, answer.read()


def test_the_original_answers_on_a_volume_of_ours_and_by_our_settings(tmp_path: Path) -> None:
    image = "5" * 64
    with docker_registry_0_9_1(tmp_path / "a", root=tmp_path / "volume") as registry:
        assert ask(registry, "PUT", f"/v1/images/{image}/json", json.dumps({"id": image}).encode()) == (200, b"true")
        assert (tmp_path / "volume/images" / image / "_inprogress").exists()
        assert ask(registry, "GET", "/v1/search")[0] == 200
        registry.kill()
        registry.start()
        assert ask(registry, "GET", f"/v1/images/{image}/json")[0] == 400
    with docker_registry_0_9_1(
        tmp_path / "b", root=tmp_path / "volume", variables={"SEARCH_BACKEND": "", "STANDALONE": "false"}, workers=1
    ) as registry:
        assert ask(registry, "GET", "/v1/search")[0] == 404
        assert ask(registry, "GET", f"/v1/images/{image}/json")[0] == 401
