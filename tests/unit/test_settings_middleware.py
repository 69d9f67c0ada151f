"""`middleware:` and `storage.redirect`: what is taken of it, what has no effect, what keeps it from starting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from backends.storage.addresses import Cloudfront, Redirect, Rewrite, Step
from portside.settings.loading import Role
from tests.support.settings_files import Load, mistakes_of
from tests.support.signing_keys import as_pem, new_keys

REDIRECT = {"name": "redirect", "options": {"baseurl": "https://cdn.example/x"}}
REWRITE = {"name": "rewrite", "options": {"scheme": "http", "host": "b", "trimpathprefix": "/x"}}
TO_CDN, REWRITTEN = Redirect("https://cdn.example/x"), Rewrite("http", "b", "/x")
KEYS = new_keys()


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(as_pem(KEYS["RSA"]))
    return path


def text_of(*layers: dict[str, Any], **more: Any) -> str:
    return yaml.safe_dump({"version": 0.1, "middleware": {"storage": list(layers)}, **more})


@pytest.mark.parametrize("role", list(Role))
@pytest.mark.parametrize(
    ("layers", "steps"),
    [
        ([], ()),
        ([REDIRECT], (TO_CDN,)),
        ([REDIRECT, REWRITE], (TO_CDN, REWRITTEN)),
        ([{**REDIRECT, "disabled": True}], ()),
        ([{"name": "unheard-of", "disabled": True}], ()),
        ([{**REDIRECT, "disabled": True}, REDIRECT], (TO_CDN,)),
    ],
)
def test_what_is_listed_is_done_in_order(load: Load, role: Role, layers: list[Any], steps: tuple[Step, ...]) -> None:
    upstream = {"gateway": {"v2": {"upstream": "http://r"}}} if role is Role.PROXY else {}
    settings = load(role, text_of(*layers, **upstream))
    assert settings.storage.addresses == steps
    assert not [note for note in settings.notes if "middleware" in note]


def test_cloudfront_has_its_options(load: Load, key: Path) -> None:
    options = {"baseurl": "d1.cloudfront.net", "privatekey": str(key), "keypairid": "APKA1"}
    for more, seconds in (({}, 1200), ({"duration": "3000s"}, 3000), ({"ipfilteredby": "none"}, 1200)):
        layer = {"name": "cloudfront", "options": {**options, **more}}
        settings = load(Role.V2, text_of(layer))
        assert settings.storage.addresses == (Cloudfront("d1.cloudfront.net", key, "APKA1", seconds),)
        assert settings.notes == ()


def test_only_who_serves_blobs_needs_the_key(load: Load, tmp_path: Path) -> None:
    options = {"baseurl": "https://c", "privatekey": str(tmp_path / "away"), "keypairid": "APKA1"}
    text = text_of({"name": "cloudfront", "options": options}, gateway={"v2": {"upstream": "http://r"}})
    load(Role.PROXY, text)
    load(Role.V1, text)
    (mistake,) = mistakes_of(load, Role.V2, text)
    assert "away cannot be read (No such file" in mistake


@pytest.mark.parametrize(
    ("layers", "more", "words"),
    [
        ([REWRITE], {}, "middleware.storage.0 has no effect: there is no address to rewrite"),
        ([REDIRECT], {"storage": "inmemory"}, "middleware.storage has no effect: nobody else can serve"),
        ([{**REDIRECT, "options": {**REDIRECT["options"], "basurl": "x"}}], {}, "options.basurl is not an option"),  # type: ignore[dict-item]
        ([{"name": "redirect", "options": {"baseurl": "https://u:pw@c/?q"}}], {}, "baseurl has a user, a query"),
    ],
)
def test_what_has_no_effect_is_named(load: Load, layers: list[Any], more: dict[str, Any], words: str) -> None:
    settings = load(Role.V2, text_of(*layers, **more))
    (note,) = [note for note in settings.notes if "middleware" in note]
    assert words in note
    assert "pw" not in note
    assert bool(settings.storage.addresses) == ("no effect" not in words)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"duration": 3000}, "duration has no effect, as in distribution"),
        ({"ipfilteredby": "AWS "}, "ipfilteredby has no effect: there is no S3"),
        (
            {"ipfilteredby": "awsregion", "awsregion": "us-east-1", "updatefrenquency": "1h"},
            "ipfilteredby has no effect",
        ),
    ],
)
def test_so_are_cloudfronts_options_without_effect(load: Load, key: Path, options: dict[str, Any], words: str) -> None:
    whole = {"baseurl": "https://c", "privatekey": str(key), "keypairid": "APKA1", **options}
    settings = load(Role.V2, text_of({"name": "cloudfront", "options": whole}))
    (note,) = settings.notes
    assert words in note
    assert settings.storage.addresses == (Cloudfront("https://c", key, "APKA1", 1200),)


GOOD = {"baseurl": "https://c", "privatekey": "/k", "keypairid": "APKA1"}


@pytest.mark.parametrize(
    ("section", "mistake"),
    [
        ({"storage": [{"name": "cdn"}]}, "middleware.storage.0.name: there is no storage middleware called 'cdn'"),
        ({"storage": [{"options": {}}]}, "middleware.storage.0.name: there is no storage middleware called ''"),
        ({"registry": [{"name": "x"}]}, "middleware.registry.0.name: there is no registry middleware"),
        ({"repository": [{"name": "x"}]}, "middleware.repository.0.name: there is no repository middleware"),
        ({"storage": [REDIRECT, {"name": "redirect"}]}, "middleware.storage.1.options.baseurl: it is missing"),
        ({"storage": [{"name": "redirect", "options": {"baseurl": True}}]}, "options.baseurl: it must be text"),
        *[
            ({"storage": [{"name": "redirect", "options": {"baseurl": base}}]}, "baseurl: write it like https://")
            for base in ("cdn.example", "//cdn.example", "https://", "ftp://c", "http://c:x", "https://c/\x01", "a b", "https://é")
        ],
        ({"storage": [{"name": "rewrite", "options": {"host": ["a"]}}]}, "options.host: it must be text"),
        *[
            ({"storage": [{"name": "cloudfront", "options": {**GOOD, **options}}]}, words)
            for options, words in (
                ({"baseurl": ""}, "options.baseurl: it is missing"),
                ({"privatekey": None}, "options.privatekey: it is missing"),
                ({"keypairid": None}, "options.keypairid: it is missing"),
                ({"keypairid": "a&b=c"}, "options.keypairid: it has letters and digits"),
                ({"duration": "long"}, "options.duration: a duration is written like"),
                ({"duration": "-1s"}, "options.duration: an address must be good"),
                ({"ipfilteredby": "x"}, "options.ipfilteredby: it is none, aws or awsregion"),
            )
        ],
    ],
)  # fmt: skip
def test_mistakes_are_named(load: Load, section: dict[str, Any], mistake: str) -> None:
    (found,) = mistakes_of(load, Role.V1, yaml.safe_dump({"middleware": section}))
    assert mistake in found


def test_the_key_must_be_one_that_cloudfront_takes(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(as_pem(KEYS["P-256"]))
    (found,) = mistakes_of(
        load, Role.SERVE, text_of({"name": "cloudfront", "options": {**GOOD, "privatekey": str(path)}})
    )
    assert "is not an RSA key" in found


def test_redirecting_can_be_switched_off(load: Load) -> None:
    for disable, steps in ((True, ()), (False, (TO_CDN,))):
        settings = load(Role.V2, text_of(REDIRECT, storage={"filesystem": {}, "redirect": {"disable": disable}}))
        assert (settings.storage.addresses, settings.notes) == (steps, ())
