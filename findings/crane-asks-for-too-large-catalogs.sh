#!/usr/bin/env bash
# crane 0.22.1: `crane catalog` asks for pages of 1000 names (`n=1000`), and cannot be told another number. distribution (2.8.2 and
# 3.1.2) refuses pages that are larger than `catalog.maxentries`: with 100 there, as one sets it to make listings cheap, crane
# ends with PAGINATION_NUMBER_INVALID and lists nothing, also where the registry has three repositories. oras 1.3.6 names no number,
# and lists them all, page by page.
#
# The key looks like a bound on what one answer costs; it is a bound on who may ask. 1000, the default, is the least with which
# crane works.
#
# Needs: Debian 12 (apt-get, dpkg-deb), curl, Python 3, Go, the Go module proxy. Takes two minutes. Status 0: still so; 1: the
# behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; wait 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq docker-registry=2.8.2+ds1-1 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x docker-registry_*.deb .
for program in github.com/distribution/distribution/v3/cmd/registry@v3.1.2 github.com/google/go-containerregistry/cmd/crane@v0.22.1 \
    oras.land/oras/cmd/oras@v1.3.6; do
    GOBIN="$folder" CGO_ENABLED=0 go install "$program" 2>go.log || { cat go.log; exit 1; }
done
export DOCKER_CONFIG="$folder" OTEL_TRACES_EXPORTER=none
echo '{}' >config.json
port() { python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

serve() { # serve PROGRAM ENTRIES: sets `host`; a registry with three repositories and this maxentries
    local name
    host="127.0.0.1:$(port)"
    cat >"$host.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $folder/data-$host}}
http: {addr: "$host", relativeurls: true}
catalog: {maxentries: $2}
YAML
    "$1" serve "$host.yml" >"$host.log" 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        curl -s -f -o /dev/null "http://$host/v2/" && break
        sleep 0.1
    done
    for name in one two three; do
        ./oras push --plain-http "$host/team/$name:1" config.json:application/json >push.log 2>&1 || { cat push.log; exit 1; }
    done
}

listed() { # listed COMMAND…: its status, and how many names it prints
    local status=0
    "$@" >names 2>error.log || status=$?
    echo "status $status, $(grep -c '^team/' names || true) names$(grep -o 'PAGINATION_NUMBER_INVALID' error.log | sed 's/^/, /' || true)"
}

echo "crane $(./crane version)"
./oras version | sed -n 1p
so=true
for program in ./usr/bin/docker-registry ./registry; do
    "$program" --version
    for entries in 1000 100 2; do
        serve "$program" "$entries"
        crane=$(listed ./crane catalog --insecure "$host")
        oras=$(listed ./oras repo ls --plain-http "$host")
        printf 'maxentries %-5s crane catalog: %-48s oras repo ls: %s\n' "$entries" "$crane" "$oras"
        [ "$oras" = "status 0, 3 names" ] || so=false
        if [ "$entries" = 1000 ]; then
            [ "$crane" = "status 0, 3 names" ] || so=false
        else
            [ "$crane" = "status 1, 0 names, PAGINATION_NUMBER_INVALID" ] || so=false
        fi
    done
done
[ "$so" = true ]
