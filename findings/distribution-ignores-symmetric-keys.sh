#!/usr/bin/env bash
# distribution 3.1.2: a symmetric key in the file of `jwks` (`kty` oct, RFC 7518, section 6.4) verifies no token, although HS256,
# HS384 and HS512 are in the default of `signingalgorithms`, and also where that names nothing else. It starts without a word of
# this, and every token of the key is 401; an EC key of the same file verifies.
#
# It keeps each key's public half, and a symmetric key has none.
#
# Needs: curl, Python 3, PyPI, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log ||
    { cat go.log; exit 1; }
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check jwcrypto==1.6.1
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')

venv/bin/python - <<'PY'
import json
import pathlib
import time

from jwcrypto import jwk, jwt

KEYS = {
    "ES256": jwk.JWK.generate(kty="EC", crv="P-256", kid="ec", use="sig"),
    "HS256": jwk.JWK.generate(kty="oct", size=256, kid="octets", use="sig"),
}
now = int(time.time())
claims = {"iss": "tokens", "aud": "registry", "sub": "", "nbf": now - 5, "iat": now, "exp": now + 300, "access": []}
for algorithm, key in KEYS.items():
    token = jwt.JWT(header={"alg": algorithm, "typ": "JWT", "kid": key["kid"]}, claims=claims)
    token.make_signed_token(key)
    pathlib.Path(algorithm).write_text(token.serialize())
    jwt.JWT(jwt=token.serialize(), key=key)
public = KEYS["ES256"].export_public(as_dict=True)
pathlib.Path("jwks.json").write_text(json.dumps({"keys": [public, KEYS["HS256"].export(as_dict=True)]}))
PY

run() { # run SIGNING_ALGORITHMS ALGORITHM…: status of /v2/ with a token of each
    cat >config.yml <<YAML
version: 0.1
log: {level: info}
storage: {inmemory: {}}
http: {addr: "127.0.0.1:$port"}
auth:
  token:
    realm: http://tokens.example/token
    service: registry
    issuer: tokens
    jwks: $folder/jwks.json
    $1
YAML
    OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
    registry=$!
    for _ in $(seq 100); do
        curl -s -o /dev/null "http://127.0.0.1:$port/v2/" && break
        sleep 0.1
    done
    for algorithm in "${@:2}"; do
        curl -s -o /dev/null -w "$algorithm %{http_code} " -H "Authorization: Bearer $(cat "$algorithm")" \
            "http://127.0.0.1:$port/v2/"
    done
    grep -ciE 'oct|symmetric' registry.log || true
    kill "$registry"
    wait "$registry" 2>/dev/null || true
}

run "" ES256 HS256 >default
run "signingalgorithms: [HS256]" HS256 >named
./registry --version
echo "status of /v2/ with a token of a key of jwks, and how often the log speaks of symmetric keys"
echo "default of signingalgorithms   $(cat default)"
echo "signingalgorithms: [HS256]     $(cat named)"
[ "$(cat default)" = "ES256 200 HS256 401 0" ] && [ "$(cat named)" = "HS256 401 0" ]
