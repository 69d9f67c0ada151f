"""What a browser is told that pages of other origins may do: only what is set, and only pages that are named."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.http.cors import Cors, CorsRequest, cors_headers
from portside.settings.loading import Role
from tests.support.settings_files import Load, mistakes_of

UI = "https://ui.example:8443"
ALLOWED = ("Access-Control-Allow-Origin", UI)
NAMED = Cors(origins=(UI,))
FULL = Cors(
    origins=("http://a", UI),
    methods=("GET", "DELETE"),
    headers=("Authorization", "X-Mine"),
    expose_headers=("X-Docker-Size", "X-Docker-Token"),
    credentials=True,
    max_age_seconds=600,
)
VARY = ("Vary", "Origin")
CREDENTIALS = ("Access-Control-Allow-Credentials", "true")


@pytest.mark.parametrize(
    ("cors", "asked", "told"),
    [
        (Cors(), CorsRequest(UI), ()),
        (NAMED, CorsRequest(None), (VARY,)),
        (NAMED, CorsRequest(UI), (VARY, ALLOWED)),
        (NAMED, CorsRequest("https://other.example"), (VARY,)),
        (NAMED, CorsRequest("https://ui.example"), (VARY,)),  # another port
        (NAMED, CorsRequest("http://ui.example:8443"), (VARY,)),  # another scheme
        (NAMED, CorsRequest(f"{UI}.evil.example"), (VARY,)),
        (NAMED, CorsRequest("null"), (VARY,)),
        (NAMED, CorsRequest("*"), (VARY,)),
        (NAMED, CorsRequest(""), (VARY,)),
        (Cors(origins=("*",)), CorsRequest(UI), (("Access-Control-Allow-Origin", "*"),)),
        (
            FULL,
            CorsRequest(UI),
            (VARY, ALLOWED, CREDENTIALS, ("Access-Control-Expose-Headers", "X-Docker-Size, X-Docker-Token")),
        ),
        (
            FULL,
            CorsRequest(UI, "DELETE", "x-mine, content-type,authorization"),
            (
                VARY,
                ALLOWED,
                CREDENTIALS,
                ("Access-Control-Allow-Methods", "GET, DELETE"),
                ("Access-Control-Allow-Headers", "X-Mine, Authorization"),
                ("Access-Control-Max-Age", "600"),
            ),
        ),
        (FULL, CorsRequest(UI, "PUT"), (VARY,)),
        (FULL, CorsRequest(UI, "get"), (VARY,)),  # methods are told apart by case (RFC 9110, section 9.1)
        (
            Cors(origins=(UI,), headers=("*",)),
            CorsRequest(UI, "GET", "X-Any, b@d,"),
            (
                VARY,
                ALLOWED,
                ("Access-Control-Allow-Methods", "GET, HEAD"),
                ("Access-Control-Allow-Headers", "X-Any"),
            ),
        ),
        (NAMED, CorsRequest(UI, "GET", "X-Other"), (VARY, ALLOWED, ("Access-Control-Allow-Methods", "GET, HEAD"))),
    ],
)
def test_only_what_is_set_is_told(cors: Cors, asked: CorsRequest, told: tuple[tuple[str, str], ...]) -> None:
    assert cors_headers(cors, asked) == told


@given(st.text(max_size=40), st.none() | st.text(max_size=8), st.text(max_size=40))
def test_an_origin_that_is_not_named_is_told_nothing(origin: str, method: str | None, headers: str) -> None:
    if origin.lower() in FULL.origins:
        return
    assert cors_headers(FULL, CorsRequest(origin, method, headers)) == (VARY,)


@given(st.text(max_size=80))
def test_what_a_page_asks_for_is_never_told_beyond_what_a_header_may_hold(headers: str) -> None:
    told = dict(cors_headers(Cors(origins=("*",), headers=("*",)), CorsRequest(UI, "GET", headers)))
    assert told.get("Access-Control-Allow-Headers", "").isprintable()


def test_settings_take_one_origin_or_several_as_browsers_write_them(load: Load) -> None:
    text = "gateway: {v1: {cors: {origins: 'HTTPS://UI.example', methods: [get], maxage: 5}}}"
    assert load(Role.V1, text).v1.cors == Cors(origins=("https://ui.example",), methods=("GET",), max_age_seconds=5)
    text = "gateway: {v1: {cors: {origins: ['http://a', 'http://[::1]:8080'], headers: '*'}}}"
    assert load(Role.V1, text).v1.cors == Cors(origins=("http://a", "http://[::1]:8080"), headers=("*",))
    assert load(Role.V1, "gateway: {v1: {cors: {methods: [GET]}}}").v1.cors is None


@pytest.mark.parametrize(
    ("cors", "why"),
    [
        ("{origins: ui.example}", "gateway.v1.cors.origins.0: write an origin as browsers send it"),
        ("{origins: ['https://ui.example/']}", "write an origin"),
        ("{origins: ['https://*.example']}", "write an origin"),
        ("{origins: 'null'}", "write an origin"),
        ("{origins: '*', credentials: true}", "gateway.v1.cors: with credentials, origins must be named"),
        ("{origins: '*', methods: 'G T'}", "gateway.v1.cors.methods.0: write a method"),
        ("{origins: '*', headers: 'a b'}", "gateway.v1.cors.headers.0: "),
        ("{origins: '*', maxage: 1000000}", "gateway.v1.cors.maxage: it must be"),
    ],
)
def test_settings_that_are_no_origins_methods_or_headers_are_refused(load: Load, cors: str, why: str) -> None:
    (mistake,) = mistakes_of(load, Role.V1, f"gateway: {{v1: {{cors: {cors}}}}}")
    assert why in mistake


@pytest.mark.parametrize(
    ("role", "extra", "is_said"),
    [(Role.V1, "", True), (Role.SERVE, "", True), (Role.V2, "", False), (Role.SERVE, ", upstream: 'http://r'", False)],
)
def test_it_is_said_at_start_that_ping_tells_much(load: Load, role: Role, extra: str, is_said: bool) -> None:  # noqa: FBT001 - of a table
    notes = load(role, f"gateway: {{v1: {{debug: true{extra}}}}}").notes
    assert any("strangers" in note for note in notes) == is_said
