#!/usr/bin/env bash
# crane 0.22.1: `crane ls` of a repository with more tags than fit on a page fails where the registry speaks TLS at 127.0.0.1, at
# localhost, or at a private address (seen with 192.168.7.7, through a proxy): `pagination URL scheme "https" does not match registry
# scheme "http"`, status 1, and no tag is printed. For such addresses it expects plain HTTP, finds out that it is TLS, and asks the
# first page so; then it compares the next page's address with what it had expected. The same registry by a name of another kind, here
# registry.example through a proxy, is listed whole, and oras 1.3.6 lists it at either.
#
# A `Link` that is rooted (`relativeurls: true`) does not help, as crane makes it whole before. So a registry inside, reached by its
# address, is listed until the day on which it has its 1001st tag.
#
# Needs: openssl, curl, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
for program in github.com/distribution/distribution/v3/cmd/registry@v3.1.2 github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
    oras.land/oras/cmd/oras@v1.3.6; do
    GOBIN="$folder" CGO_ENABLED=0 go install "$program" 2>go.log || { cat go.log; exit 1; }
done
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out cert.pem -days 2 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost,DNS:registry.example,IP:127.0.0.1 2>/dev/null
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
registry=$(port)
cat >config.yml <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$registry", relativeurls: true, tls: {certificate: cert.pem, key: key.pem}}
tags: {maxtags: 5}
YAML
OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
servers+=($!)
cat >proxy.py <<'PY'
"""proxy.py PORT: a proxy that connects every CONNECT, wherever to, with this port of this machine."""

import asyncio
import sys


async def pass_on(reader, writer):
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


async def connect(reader, writer):
    while (await reader.readline()).strip():
        pass
    from_registry, to_registry = await asyncio.open_connection("127.0.0.1", int(sys.argv[1]))
    writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
    await asyncio.gather(pass_on(reader, to_registry), pass_on(from_registry, writer), return_exceptions=True)


async def main():
    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
PY
python3 proxy.py "$registry" >proxy 2>proxy.log &
servers+=($!)
until [ -s proxy ]; do sleep 0.1; done
proxy="http://127.0.0.1:$(cat proxy)"
export SSL_CERT_FILE="$folder/cert.pem" DOCKER_CONFIG="$folder"
unset HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy
echo '{}' >config.json
for _ in $(seq 100); do
    curl -s -f --cacert cert.pem -o /dev/null "https://localhost:$registry/v2/" && break
    sleep 0.1
done

filled() { # filled NAME COUNT: a repository with so many tags
    local number
    ./oras push --plain-http=false "localhost:$registry/$1:v01" config.json:application/json >push.log 2>&1 || { cat push.log; exit 1; }
    for number in $(seq -w 2 "$2"); do
        ./oras tag --plain-http=false "localhost:$registry/$1:v01" "v$number" >push.log 2>&1 || { cat push.log; exit 1; }
    done
}

filled few 3
filled many 13
listed() { # listed COMMAND…: its status, how many tags it prints, and what it says of schemes
    local status=0
    "$@" >tags 2>error.log || status=$?
    echo "status $status, $(grep -c '^v' tags || true) tags$(grep -o 'pagination URL scheme.*' error.log | sed 's/^/, /' || true)"
}
refused='status 1, 0 tags, pagination URL scheme "https" does not match registry scheme "http"'
so=true
row() { # row NAME EXPECTED COMMAND…
    local got
    got=$(listed "${@:3}")
    printf '%-48s %s\n' "$1" "$got"
    [ "$got" = "$2" ] || so=false
}
echo "crane $(./crane version)"
./oras version | sed -n 1p
./registry --version
row "crane, 3 tags, localhost" "status 0, 3 tags" ./crane ls "localhost:$registry/few"
row "crane, 13 tags, localhost" "$refused" ./crane ls "localhost:$registry/many"
row "crane, 13 tags, 127.0.0.1" "$refused" ./crane ls "127.0.0.1:$registry/many"
row "crane, 13 tags, registry.example" "status 0, 13 tags" env HTTPS_PROXY="$proxy" ./crane ls registry.example/many
row "oras, 13 tags, 127.0.0.1" "status 0, 13 tags" ./oras repo tags --plain-http=false "127.0.0.1:$registry/many"
row "oras, 13 tags, registry.example" "status 0, 13 tags" env HTTPS_PROXY="$proxy" ./oras repo tags registry.example/many
[ "$so" = true ]
