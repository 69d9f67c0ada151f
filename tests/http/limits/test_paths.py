"""No request leads out of the folder by what its path holds."""

from __future__ import annotations

from pathlib import Path

from backends.storage import layout
from tests.support.limits import Place

INDEX_OF_SEARCHES = layout.SEARCH.lstrip("/")

TRICKS = [
    "/v2/../outside/secret", "/v2/../../outside/secret", "/v2/%2e%2e/%2e%2e/outside/secret", "/../outside/secret",
    "/v2/..%2foutside%2fsecret", "/v2/%252e%252e/outside/tags/list", "/v2/..\\outside\\secret",
    "/v2/..%5coutside/tags/list", "/v2/%c0%ae%c0%ae/outside/tags/list", "/v2/\xc0\xae\xc0\xae/outside/tags/list",
    "/v2/%e0%80%ae/tags/list", "/v2/a%00/../../outside/tags/list", "/v2/a/manifests/..%2f..%2fsecret",
    "/v2/a/manifests/../../../../../outside/secret", "/v2/a/blobs/../../../../outside/secret",
    "/v2/a/blobs/sha256:..%2f..%2fsecret", "/v2/a/blobs/uploads/..%2f..%2fsecret", "/v2//etc/passwd/tags/list",
    "/v2/./outside/./tags/list", "/v2/file:%2f%2f/outside/secret", "//outside/secret",
    "/v2/a/tags/list/../../../../outside/secret", "/v2/a/../../../outside/manifests/latest",
    "/v2/a;/../outside/tags/list", "/v2/{tmp}/outside/manifests/latest", "/v2/%2e%2e%2foutside/manifests/latest",
    "/v2/outside/..;/tags/list", "/v2/_catalog?last=../../outside&n=5", "/v2/a/tags/list?last=../../../outside/",
    "/v2/a/referrers/..%2f..%2foutside", "/v1/images/../../outside/secret", "/v1/images/%2e%2e/json",
    "/v1/repositories/../outside/tags", "/v1/repositories/../../outside/tags/latest",
    "/v1/repositories/a/../../../outside/images", "/v1/repositories/library/..%2f..%2foutside/tags",
    "/v1/repositories/%2e%2e/%2e%2e/tags", "/v1/search?q=../../outside", "/v1/repositories/a/b/tags/..%2f..%2fsecret",
    "/v1/repositories/a/b/tags/../../../../outside/secret",
]  # fmt: skip


ANSWERED_WITH_NOTHING = {("DELETE", "/v1/repositories/a/../../../outside/images")}
"""It asks for the right to delete and changes nothing, whatever the name is."""


def tree_of(place: Place) -> dict[str, bytes | None]:
    """All that is stored, but for the index that a search makes."""
    return {path: content for path, content in place.tree().items() if not path.startswith(INDEX_OF_SEARCHES)}


async def test_a_path_leads_nowhere_but_where_its_grammar_says(place: Place, tmp_path: Path) -> None:
    for name in ("a", "outside"):
        await place.v2.push_image(name, "latest")
    before = tree_of(place)
    for trick in TRICKS:
        target = trick.replace("{tmp}", str(tmp_path).lstrip("/"))
        for client in (place.v1, place.v2):
            for method in ("GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"):
                body = b"x" if method in {"PUT", "PATCH"} else None
                answer = await client.ask(method, target, {"Connection": "close"}, body=body)
                assert answer.status < 500, (method, trick, answer)
                assert b"never read" not in answer.body
                # 200 where the trick stands in a query
                quiet = method in {"GET", "HEAD"} or (method, trick) in ANSWERED_WITH_NOTHING
                assert quiet or answer.status >= 300, (method, trick, answer)
        assert tree_of(place) == before, trick
