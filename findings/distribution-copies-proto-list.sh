#!/usr/bin/env bash
# distribution 3.1.2: `X-Forwarded-Proto: https, http`, as it arrives when two proxies in a row append to it, is copied whole
# into the address of an upload: `Location: https, http://registry/v2/…`, in which no client finds a scheme. So no image can be
# pushed.
#
# Lists in the headers beside it are taken for lists: of `X-Forwarded-Host: a.example, b.example` and of
# `Forwarded: host=a.example;proto=https, host=b.example;proto=http` it uses the first element. X-Forwarded-Port is not used.
#
# Needs: curl, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log ||
    { cat go.log; exit 1; }
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat >config.yml <<YAML
version: 0.1
log: {level: error}
storage: {inmemory: {}}
http: {addr: "127.0.0.1:$port"}
YAML
OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
registry=$!
for _ in $(seq 100); do
    curl -s -o /dev/null "http://127.0.0.1:$port/v2/" && break
    sleep 0.1
done

origin() { # origin HEADER…: where an upload begins, without its path
    local headers=()
    for header in "$@"; do headers+=(-H "$header"); done
    curl -s -o /dev/null -D - -X POST "${headers[@]}" "http://127.0.0.1:$port/v2/app/blobs/uploads/" |
        tr -d '\r' | sed -n 's|^Location: \(.*\)/v2/app/.*|\1|p' | sed "s/127.0.0.1:$port/registry/"
}

one=$(origin "X-Forwarded-Proto: https")
list=$(origin "X-Forwarded-Proto: https, http")
host=$(origin "X-Forwarded-Proto: https" "X-Forwarded-Host: a.example, b.example")
standard=$(origin "Forwarded: host=a.example;proto=https, host=b.example;proto=http")
behind=$(origin "X-Forwarded-Proto: https" "X-Forwarded-Host: a.example" "X-Forwarded-Port: 8443")
./registry --version
echo "X-Forwarded-Proto: https                              Location: $one/v2/…"
echo "X-Forwarded-Proto: https, http                        Location: $list/v2/…"
echo "X-Forwarded-Host: a.example, b.example                Location: $host/v2/…"
echo "Forwarded: host=a.example;proto=https, host=b…        Location: $standard/v2/…"
echo "X-Forwarded-Host: a.example, X-Forwarded-Port: 8443   Location: $behind/v2/…"
[ "$one" = "https://registry" ] && [ "$list" = "https, http://registry" ] && [ "$host" = "https://a.example" ] &&
    [ "$standard" = "https://a.example" ] && [ "$behind" = "https://a.example" ]
