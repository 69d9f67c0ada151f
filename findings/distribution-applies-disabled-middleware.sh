#!/usr/bin/env bash
# distribution 3.1.2: `disabled: true` of a middleware is ignored. Blobs are redirected to the `baseurl` of a `redirect` that
# the settings switch off. No line of the log says that it is used.
#
# Needs: curl, Python 3, Go, the Go module proxy. Takes one to two minutes. Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill "${registry:-}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
GOBIN="$folder" CGO_ENABLED=0 go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2 2>go.log ||
    { cat go.log; exit 1; }
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
base="http://127.0.0.1:$port"
printf 0123456789 >blob
digest=sha256:$(sha256sum blob | cut -d' ' -f1)

run() { # run MIDDLEWARE: status of a GET of a blob, and where it is sent
    cat >config.yml <<YAML
version: 0.1
log: {level: info}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "127.0.0.1:$port", relativeurls: true}
$1
YAML
    OTEL_TRACES_EXPORTER=none ./registry serve config.yml >registry.log 2>&1 &
    registry=$!
    for _ in $(seq 100); do
        curl -s -o /dev/null "$base/v2/" && break
        sleep 0.1
    done
    upload=$(curl -s -o /dev/null -D - -X POST "$base/v2/app/blobs/uploads/" | tr -d '\r' | sed -n 's/^Location: //p')
    curl -s -f -X PUT --data-binary @blob -H "Content-Type: application/octet-stream" "$base$upload&digest=$digest"
    curl -s -o /dev/null -w '%{http_code} %{redirect_url}' "$base/v2/app/blobs/$digest" | sed 's|/docker/registry.*|/…|'
    echo ", lines of the log that name the middleware: $(grep -c redirect registry.log || true)"
    kill "$registry"
    wait "$registry" 2>/dev/null || true
}

options='options: {baseurl: "https://cdn.example/"}'
./registry --version
none=$(run "")
off=$(run "middleware: {storage: [{name: redirect, disabled: true, $options}]}")
on=$(run "middleware: {storage: [{name: redirect, $options}]}")
echo "no middleware                      $none"
echo "redirect with disabled: true       $off"
echo "redirect                           $on"
[[ "$none" = "200 , "* ]] && [[ "$off" = "307 https://cdn.example/…"*": 0" ]] && [ "$on" = "$off" ]
