"""What in settings is refused, and what is told at start."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portside.settings.loading import Role, SettingsProblem, load_settings
from portside.settings.lookalikes import edits
from tests.support.settings_files import Load, mistakes_of, roots

# The 2015 guide's own file, its indentation repaired.
GUIDE = """
version: 0.1
log:
  level: debug
  fields:
    service: registry
    environment: development
storage:
  cache:
    layerinfo: inmemory
  filesystem:
    rootdirectory: /tmp/registry-dev
http:
  addr: :5000
  secret: asecretforlocaldevelopment
  debug:
    addr: localhost:5001
redis:
  addr: localhost:6379
  pool:
    maxidle: 16
    maxactive: 64
    idletimeout: 300s
  dialtimeout: 10ms
  readtimeout: 10ms
  writetimeout: 10ms
notifications:
  endpoints:
    - name: local-8082
      url: http://localhost:5003/callback
      headers:
        Authorization: [Bearer <an example token>]
      timeout: 1s
      threshold: 10
      backoff: 1s
      disabled: true
    - name: local-8083
      url: http://localhost:8083/callback
      timeout: 1s
      threshold: 10
      backoff: 1s
      disabled: true
"""


def test_all_mistakes_are_told_at_once_each_with_its_path_and_what_is_allowed(load: Load) -> None:
    text = """
    version: 0.2
    log: {level: loud, formatter: xml}
    storage: {s3: {bucket: b}, filesytem: {}}
    auth: {htpasswd: {realm: r, path: p}, silly: {}}
    http: {addr: 5000, draintimeout: soon, clientcas: [ca], tls: {certificate: a}, headers: {Content-length: [5]}}
    gateway:
      {bodytimeout: 0, workers: 1000, trustedproxies: [10.0.0.0/99], routeheader: 'a b',
       v1: {upstream: ftp://r, unix: here}}
    """
    mistakes = mistakes_of(
        load, Role.SERVE, text, environment={"REGISTRY_GATEWAY_NAMES": "[", "REGISTRY_GATEWAY_NAMES_3": "x"}
    )
    expected = [
        ("REGISTRY_GATEWAY_NAMES ", "YAML"),
        ("REGISTRY_GATEWAY_NAMES_3", "no element"),
        ("auth:", "exactly one scheme, and has htpasswd, silly"),
        ("http.clientcas:", "below http.tls"),
        ("storage.filesytem:", "did you mean filesystem?"),
        ("storage.s3:", "use filesystem or inmemory"),
        ("version:", "0.1"),
        ("log.level:", "'debug' (it is 'loud')"),
        ("log.formatter:", "'logstash' (it is 'xml')"),
        ("http.addr:", "such as :5000"),
        ("http.draintimeout:", "30s"),
        ("http.tls:", "go together"),
        ("http.headers:", "cannot be set: Content-length"),
        ("gateway.bodytimeout:", "a silent client stay connected"),
        ("gateway.trustedproxies.0:", "10.0.0.0/8"),
        ("gateway.routeheader:", "false stands for none"),
        ("gateway.v1.upstream:", "unix:/run"),
        ("gateway.v1.unix:", "from the root"),
        ("gateway.workers:", "256"),
    ]
    for start, words in expected:
        assert any(line.startswith(start) and words in line for line in mistakes), (start, mistakes)
    assert len(mistakes) == len(expected)


@pytest.mark.parametrize("upstream", ["https://[registry.example", "http://r:99999", "http://", "HTTP://r"])
@pytest.mark.parametrize("more", ["", ", credentials: {user: u, passwordfile: p}"])
def test_an_upstream_is_an_address(load: Load, upstream: str, more: str) -> None:
    text = f"gateway: {{auth: {{htpasswd: {{realm: r, path: h}}}}, v2: {{upstream: '{upstream}'{more}}}}}"
    found = mistakes_of(load, Role.PROXY, text)
    assert [each for each in found if each.startswith("gateway.v2.upstream: write it like unix:/run/")], found


def test_secrets_are_never_printed(load: Load) -> None:
    text = """
    http: {secret: [hunter2], headers: {Authorization: ["hunter2\\n"]}, tls: {key: [hunter2]}}
    gateway: {v2: {upstream: 'http://me:hunter2@r'}}
    """
    environment = {
        "REGISTRY_HTTP_HOST": "hunter2: [",
        "STANDALONE": "hunter2",
        "GUNICORN_OPTS": "[--certfile=hunter2, -x, hunter2]",
    }
    mistakes = mistakes_of(load, Role.SERVE, text, environment=environment)
    assert len(mistakes) == 8
    assert "hunter2" not in "".join(mistakes)


@pytest.mark.parametrize(
    "text",
    [
        "notifications: {endpoints: [{headers: {Authorization: hunter2}}]}",
        "notifications: {endpoints: [{url: ['http://a:hunter2@b']}]}",
        "health: {http: [{headers: {Authorization: hunter2}}]}",
        "log: {hooks: [{options: {smtp: {password: [hunter2]}}}]}",
        "middleware: {storage: [{name: redirect, options: hunter2}]}",
        "redis: {password: [hunter2], sentinelpassword: {a: hunter2}}",
        "reporting: {newrelic: {licensekey: [hunter2]}}",
        "http: {headers: {Authorization: hunter2}}",
        "proxy: {password: [hunter2]}",
    ],
)
def test_no_section_s_secrets_are_printed(load: Load, text: str) -> None:
    assert "hunter2" not in "".join(mistakes_of(load, Role.V2, text))


def test_a_mistake_in_a_variable_names_it(load: Load) -> None:
    (mistake,) = mistakes_of(
        load, Role.V2, "catalog: {maxentries: 5}", environment={"REGISTRY_CATALOG_MAXENTRIES": "x"}
    )
    assert mistake == "catalog.maxentries: it must be a whole number (it is 'x'), set by REGISTRY_CATALOG_MAXENTRIES"
    (mistake,) = mistakes_of(load, Role.V2, None, environment={"REGISTRY_CATALOG": "{maxentries: x}"})
    assert mistake.endswith(", set by REGISTRY_CATALOG")


_REDIS = "storage: {cache: {blobdescriptor: redis}}\n"


@pytest.mark.parametrize(
    "text",
    [
        "notifications: {endpoints: [{name: a, url: 'http://h', headers: {Authorization: Bearer hunter2}}]}",
        'notifications: {endpoints: [{name: a, url: "http://h", headers: {Authorization: ["hunter2\\n"]}}]}',
        "notifications: {endpoints: [{name: a, url: 'http://h', headers: 'Authorization: hunter2'}]}",
        "notifications: {endpoints: ['http://h/?token=hunter2']}",
        "notifications: {endpoints: 'http://h/hunter2'}",
        'health: {http: [{uri: "http://h", headers: {Authorization: ["hunter2\\n"]}}]}',
        "health: {http: ['http://h/hunter2']}",
        "http: {headers: 'Authorization: hunter2'}",
        "http: {host: 'https://me:hunter2@'}",
        "http: {host: 'https://me:hunter2@h:99999'}",
        "middleware: {storage: [{name: redirect, options: {baseurl: 'ftp://me:hunter2@h'}}]}",
        "middleware: {storage: [{name: redirect, options: {baseurl: 'me:hunter2@h'}}]}",
        "middleware: {storage: [{name: redirect, options: {baseurl: 'ftp://h?token=hunter2'}}]}",
        "redis: hunter2",
        f"{_REDIS}redis: {{addr: 'redis://:hunter2@r:6379/0'}}",
        f"{_REDIS}redis: {{addrs: ['rediss://me:hunter2@r:6379/0']}}",
        f"{_REDIS}redis: {{addr: 'r:6379?password=hunter2'}}",
        f"{_REDIS}redis: {{addr: r, password: *hunter2}}",
        "log: {hooks: hunter2}",
        "log: {hooks: [{type: mail, levels: [error], options: {smtp: hunter2, from: a@b, to: [c@d]}}]}",
    ],
)
def test_no_mistake_shows_what_may_be_a_secret(load: Load, text: str) -> None:
    with pytest.raises(SettingsProblem) as caught:
        load(Role.V2, text)
    assert "hunter2" not in str(caught.value)


def test_no_mistake_in_a_variable_shows_what_may_be_a_secret(load: Load) -> None:
    header = "REGISTRY_NOTIFICATIONS_ENDPOINTS_0_HEADERS_AUTHORIZATION"
    with pytest.raises(SettingsProblem, match=r"headers\.authorization: it must be a list") as caught:
        load(Role.V2, "notifications: {endpoints: [{name: a, url: 'http://h'}]}", {header: "Bearer hunter2"})
    assert "hunter2" not in str(caught.value)


def test_the_address_of_a_redis_as_a_url_is_told_how_to_be_written(load: Load) -> None:
    with pytest.raises(SettingsProblem, match=r"redis\.addr: 'redis://\*\*\*@r:6379/0' is not an address: .*password"):
        load(Role.V2, f"{_REDIS}redis: {{addr: 'redis://:hunter2@r:6379/0'}}")


def test_a_root_that_is_not_indented_below_its_driver_is_told_so(load: Load) -> None:
    (mistake,) = mistakes_of(load, Role.V2, "storage:\n  filesystem:\n  rootdirectory: /srv\n")
    assert mistake == "storage.rootdirectory: it belongs below storage.filesystem; indent it two spaces more"


def test_entries_without_a_dash_are_told_so(load: Load) -> None:
    (mistake,) = mistakes_of(load, Role.V2, "notifications:\n  endpoints:\n    name: a\n    url: http://a\n")
    assert mistake == "notifications.endpoints: it must be a list: write `- ` before the first key of each entry"


UNSAFE: list[tuple[str | None, dict[str, str], str]] = [
    ("auth: {htpasswd: {realm: r}}", {}, "auth.htpasswd.path:"),
    ("auth: {htpasswd: {path: p}}", {}, "auth.htpasswd.realm:"),
    ("auth: {htpasswd: {realm: r, pth: p}}", {}, "auth.htpasswd.path:"),
    ("auth: {silly: {realm: r}}", {}, "auth.silly.service:"),
    ("auth: {token: {service: s, issuer: i, jwks: f}}", {}, "auth.token.realm:"),
    ("auth: {token: {realm: r, issuer: i, jwks: f}}", {}, "auth.token.service:"),
    ("auth: {token: {realm: r, service: s, jwks: f}}", {}, "auth.token.issuer:"),
    ("auth: {token: {realm: r, service: s, issuer: i}}", {}, "auth.token.rootcertbundle:"),
    (
        'auth: {token: {realm: "https://u:p@t/x", service: s, issuer: i, jwks: f}}',
        {},
        "auth.token.realm: it has a user",
    ),
    (
        "auth: {token: {realm: r, service: s, issuer: i, jwks: f, signingalgorithms: [none]}}",
        {},
        "auth.token.signingalgorithms: no token is signed with 'none'",
    ),
    ("auth: {mine: {}}", {}, "auth.mine: there is no such scheme"),
    ("auth: mine", {}, "auth.mine: there is no such scheme"),
    ("auth: {htpaswd: {realm: r, path: p}}", {}, "auth.htpaswd: there is no such scheme (did you mean htpasswd?)"),
    ("auth: {htpasswd: {realm: r, path: p}, token: }", {}, "auth: it must have exactly one scheme"),
    (None, {"REGISTRY_AUTH_HTPASSWD_REALM": "r"}, "auth.htpasswd.path:"),
    ("gateway: {auth: {silly: {realm: r, service: s}}}", {}, "gateway.auth.silly: there is no such scheme"),
    ("gateway: {auth: {htpasswd: {realm: r}}}", {}, "gateway.auth.htpasswd.path:"),
    (
        "{auth: {htpasswd: {realm: r, path: p}}, gateway: {auth: {htpasswd: {realm: r, path: p}}}}",
        {},
        "gateway.auth.htpasswd: it is in auth.htpasswd too",
    ),
    ("proxy: {remoteurl: 'https://r'}", {}, "proxy.remoteurl:"),
    (None, {"REGISTRY_PROXY_REMOTEURL": "https://r"}, "proxy.remoteurl:"),
    ("http: {clientcas: [ca]}", {}, "http.clientcas:"),
    (None, {"REGISTRY_HTTP_CLIENTCAS": "[ca]"}, "http.clientcas:"),
    ("http: {prefix: registry/}", {}, "http.prefix:"),
    (None, {"REGISTRY_HTTP_TLS_LETSENCRYPT_CACHEFILE": "/c"}, "http.tls.letsencrypt.cachefile:"),
    ("http: {tls: {clientcas: [ca]}}", {}, "http.tls:"),
    ("storage: {filesystem: {}, inmemory: {}}", {}, "storage:"),
    ("storage: swift", {}, "storage.swift:"),
    (None, {"REGISTRY_STORAGE_S3_BUCKET": "b"}, "storage.s3:"),
    ("gateway: {v2: {addr: ''}}", {}, "gateway.v2.addr, gateway.v2.unix:"),
    ("gateway: {v2: {addr: ':7'}, metrics: {addr: ':7'}}", {}, ":7 is given to two listeners"),
]


@pytest.mark.parametrize(("text", "environment", "start"), UNSAFE)
def test_what_would_be_unsafe_to_pass_over_keeps_it_from_starting(
    load: Load, text: str | None, environment: dict[str, str], start: str
) -> None:
    (mistake,) = mistakes_of(load, Role.V2, text, environment=environment)
    assert mistake.startswith(start)


LOOKALIKES: list[tuple[str | None, dict[str, str], str, str]] = [
    ("oauth: {htpasswd: {}}", {}, "oauth", "write auth"),
    ("storge: {filesystem: {rootdirectory: /srv}}", {}, "storge", "write storage"),
    ("rootdirectory: /srv", {}, "rootdirectory", "write storage.filesystem.rootdirectory"),
    ("auht: {htpasswd: {}}", {}, "auht", "write auth"),
    ("gateway: {auht: {}}", {}, "gateway.auht", "write auth"),
    ("gateway: {acces: /rules}", {}, "gateway.acces", "write gateway.access"),
    ("access: /rules", {}, "access", "write gateway.access"),
    ("clientcas: [ca]", {}, "clientcas", "http.tls.clientcas"),
    ("gateway: {clientcas: [ca]}", {}, "gateway.clientcas", "gateway.tls.clientcas"),
    ("gateway: {tls: {client_cas: [ca]}}", {}, "gateway.tls.client_cas", "gateway.tls.clientcas"),
    ("http: {tls: {certificate: a, key: b, clientCA: [ca]}}", {}, "http.tls.clientCA", "http.tls.clientcas"),
    ("http: {tls: {certificate: a, key: b, client-auth: x}}", {}, "http.tls.client-auth", "http.tls.clientauth"),
    ("http: {certificate: a, addr: ':1'}", {}, "http.certificate", "http.tls.certificate"),
    ("tls: {certificate: a, key: b}", {}, "tls", "http.tls"),
    ("readonly: {enabled: true}", {}, "readonly", "storage.maintenance.readonly"),
    ("storage: {maintenance: {read_only: {}}}", {}, "storage.maintenance.read_only", "maintenance.readonly"),
    (None, {"REGISTRY_GATEWAY_CLIENTCAS": "[ca]"}, "REGISTRY_GATEWAY_CLIENTCAS (environment)", "http.tls.clientcas"),
    (None, {"REGISTRY_HTTP_TLS_CLIENTCA": "[ca]"}, "REGISTRY_HTTP_TLS_CLIENTCA (environment)", "http.tls.clientcas"),
]


@pytest.mark.parametrize(("text", "environment", "path", "meant"), LOOKALIKES)
def test_an_unknown_key_that_looks_like_one_that_protects_keeps_it_from_starting(
    load: Load, text: str | None, environment: dict[str, str], path: str, meant: str
) -> None:
    (mistake,) = mistakes_of(load, Role.SERVE, text, environment=environment)
    assert mistake.startswith(f"{path} is not a known setting, and it would be unsafe to ignore it")
    assert meant in mistake


@pytest.mark.parametrize("key", ["x-auth", "author", "path", "host", "key", "certs", "tags", "cache"])
def test_an_unknown_key_that_looks_like_nothing_of_the_kind_is_only_named(load: Load, key: str) -> None:
    assert load(Role.V2, f"http: {{debug: {{{key}: 1}}}}").notes[0].startswith(f"http.debug.{key} is not a known")


@given(st.text("abct", max_size=6), st.text("abct", max_size=6))
def test_edits_count_letters_and_swapped_neighbours(one: str, other: str) -> None:
    assert edits(one, other) == edits(other, one) >= abs(len(one) - len(other))
    assert (edits(one, other) == 0) == (one == other)
    assert edits(f"x{one}", f"x{other}") == edits(one, other)
    assert edits("auht", "auth") == edits("oauth", "auth") == edits("auths", "auth") == 1


@pytest.mark.parametrize("text", ["auth: none", "auth: {none: {}}", "auth:", "proxy: {}", "http: {prefix: /}"])
def test_what_asks_for_nothing_is_no_obstacle(load: Load, text: str) -> None:
    load(Role.V2, text)


def test_a_proxy_alone_needs_a_registry(load: Load) -> None:
    (mistake,) = mistakes_of(load, Role.PROXY)
    assert mistake.startswith("gateway.v1.upstream, gateway.v2.upstream:")


def test_keys_that_are_not_honoured_and_keys_that_nobody_knows_are_named(load: Load) -> None:
    text = """
    health: {storagedriver: {enabled: true}, file: [{file: /x}]}
    storage: {filesystem: {rootdirectory: /d, maxthreads: 50, rootdir: /e}, cache: {blobdescriptor: inmemory, sice: 1}}
    http: {adr: ':1', http2: {disabled: false}}
    gateway: {tls: {certificates: [{certificate: a, key: b, chian: c}]}}
    x-mine: {}
    """
    notes = load(Role.SERVE, text).notes
    expected = [
        "storage.filesystem.maxthreads has no effect:",
        "storage.cache.sice is not a known setting and is ignored",
        "http.http2.disabled has no effect:",
        "storage.filesystem.rootdir is not a known setting and is ignored (did you mean rootdirectory?)",
        "http.adr is not a known setting and is ignored (did you mean addr?)",
        "gateway.tls.certificates.0.chian is not a known setting and is ignored",
        "x-mine is not a known setting and is ignored",
    ]
    for start in expected:
        assert any(note.startswith(start) for note in notes), (start, notes)
    assert len(notes) == len(expected)


def test_the_guide_s_own_file_loads_and_says_what_it_does_not_do(load: Load) -> None:
    settings = load(Role.V2, GUIDE)
    assert roots(settings) == [("v2", ":5000", False), ("metrics", "localhost:5001", False)]
    assert settings.metrics_path == "/metrics"
    assert settings.storage.root == "/tmp/registry-dev"
    assert settings.log.level == "debug"
    assert settings.log.fields == {"service": "registry", "environment": "development"}
    assert settings.cache is not None
    assert settings.cache.announcement == "using inmemory layerinfo cache"
    older = {"storage.cache.layerinfo", "redis.addr", "redis.pool"}
    assert {note.partition(" ")[0] for note in settings.notes} == older | {"redis", "http.secret"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("- a\n- b\n", "must hold keys"),
        ("a: [\n", "is not valid YAML at line 2"),
        ("http:\n\taddr: :5000\n", "is not valid YAML at line 2: the indentation has a tab"),
        ("http:\n  addr: :5000\n    net: tcp\n", "at line 3: no key can stand here; look at the indentation"),
        ("http:\n    addr: :5000\n  net: tcp\n", "at line 3: this line fits nothing above it"),
        ("http:\n  addr: :5000\n  net\n  host: x\n", "at line 4: the line above has no `:`"),
        ("log: {level: 'info}\n", "a quotation mark is not closed"),
        ("log: [a\nhttp: b\n", "at line 2: a list in"),
        ("log: {level: info\nhttp: b\n", "at line 2: a section in"),
        ("http:\n  host: @host\n", "at line 2: text that begins with a special character needs quotes"),
        ("http:\n  host: *host\n", "at line 2: a value that begins with"),
        ("a: \x01", "characters that YAML forbids"),
        pytest.param("[" * 3000, "nested too deeply", id="nested"),
    ],
)
def test_a_file_that_is_not_a_valid_mapping_is_told_in_one_sentence(load: Load, text: str, words: str) -> None:
    with pytest.raises(SettingsProblem, match=words) as caught:
        load(Role.V2, text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "written", ["1", "'500'", "1d", "1 s", "s", "1s1", "1e3s", "--1s", "1S", "\u0661s", "true", "[1s]"]
)
def test_what_go_does_not_take_for_a_duration_is_a_mistake(load: Load, written: str) -> None:
    text = f"storage: {{maintenance: {{uploadpurging: {{age: {written}}}}}}}"
    (mistake,) = mistakes_of(load, Role.V2, text)
    assert mistake.startswith("storage.maintenance.uploadpurging.age: ")


def test_a_missing_file_and_a_folder_are_told_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsProblem, match=r"cannot be read \(No such file"):
        load_settings(Role.V2, tmp_path / "none.yml", {}, {})
    with pytest.raises(SettingsProblem, match=r"cannot be read \(Is a directory"):
        load_settings(Role.V2, tmp_path, {}, {})


def test_metrics_of_the_debug_address_have_distribution_s_switch_and_path(load: Load) -> None:
    text = "http: {debug: {addr: ':1', prometheus: {enabled: %s, path: /m}}}"
    assert load(Role.V2, text % "true").metrics_path == "/m"
    assert load(Role.V2, text % "false").metrics_path == ""
    assert load(Role.V2, "gateway: {metrics: {addr: ''}}").metrics_path == ""


@pytest.mark.parametrize("size", ["8388607", "1MiB", "3GiB"])
def test_windows_of_layers_have_bounds(load: Load, size: str) -> None:
    (mistake,) = mistakes_of(load, Role.SERVE, f"gateway: {{conversions: {{maxwindow: {size}}}}}")
    assert mistake.startswith("gateway.conversions.maxwindow: ")
    assert "it is from 8MiB" in mistake


def test_rules_of_conversions_must_name_repositories_and_what_may_be_done(load: Load) -> None:
    text = """
    gateway:
      conversions:
        platform: linux
        rules:
          - {repositories: 'a b', convert: allow}
          - {repositories: a, convert: perhaps}
          - {convert: forbid}
          - {repositories: 'legacy/*', convert: Forbid}
    """
    mistakes = mistakes_of(load, Role.SERVE, text)
    expected = [
        ("gateway.conversions.platform:", "like linux/arm64"),
        ("gateway.conversions.rules.0.repositories:", "like legacy/*"),
        ("gateway.conversions.rules.1.convert:", "'allow', 'pinned' or 'forbid'"),
        ("gateway.conversions.rules.2.repositories:", ""),
    ]
    assert [mistake.partition(" ")[0] for mistake in mistakes] == [path for path, _ in expected]
    assert all(said in mistake for mistake, (_, said) in zip(mistakes, expected, strict=True))
