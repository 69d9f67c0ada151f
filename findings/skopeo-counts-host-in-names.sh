#!/usr/bin/env bash
# skopeo 1.9.3, Debian 12's: "repository name must not be more than 255 characters" counts the registry's host and port too. So one
# and the same repository is taken at a registry with a short host, and refused at one with a long: here one storage, served
# at 127.0.0.1 and at 127.100.100.100. Registries count the name alone, as they do not know by which host they are called, and
# so does oras 1.3.6, which pushes it at the long one and lists it at both.
#
# Needs: Debian 12 (apt-get, dpkg-deb) with libgpgme11 and libdevmapper1.02.1, Python 3, Go, the Go module proxy. Takes two minutes.
# Status 0: still so; 1: the behaviour has changed.
set -euo pipefail
folder=$(mktemp -d)
servers=()
trap 'kill "${servers[@]}" 2>/dev/null || true; chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
apt-get download -qq skopeo=1.9.3+ds1-1+b10 2>apt.log || { cat apt.log; exit 1; }
dpkg-deb -x skopeo_*.deb .
for program in oras.land/oras/cmd/oras@v1.3.6 github.com/distribution/distribution/v3/cmd/registry@v3.1.2; do
    GOBIN="$folder" CGO_ENABLED=0 go install "$program" 2>go.log || { cat go.log; exit 1; }
done
mkdir none
echo '{}' >none/config.json
export DOCKER_CONFIG="$folder/none"
port=$(python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
hosts=(127.0.0.1 127.100.100.100)
for host in "${hosts[@]}"; do
    cat >"$host.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $folder/data}}
http: {addr: "$host:$port"}
YAML
    OTEL_TRACES_EXPORTER=none ./registry serve "$host.yml" >"$host.log" 2>&1 &
    servers+=($!)
    for _ in $(seq 100); do
        python3 -c "import socket; socket.create_connection(('$host', $port))" 2>/dev/null && break
        sleep 0.1
    done
done
echo world >hello

# 255 characters with "127.0.0.1:PORT/", 261 with "127.100.100.100:PORT/".
length=$((255 - ${#port} - 11))
name=$(python3 -c 'import sys; print(("n" * 50 + "/") * 4 + "n" * (int(sys.argv[1]) - 204))' "$length")

seen() { # seen HOST: what skopeo and oras say of the tags at this host
    local skopeo oras path="$1:$port/$name"
    skopeo=$(./usr/bin/skopeo list-tags --tls-verify=false "docker://$path" 2>&1 | grep -o 'seen\|repository name must.*characters') || true
    oras=$(./oras repo tags --plain-http "$path" 2>&1) || true
    echo "${#path} in all, oras: $oras, skopeo: $skopeo"
}

./oras push --plain-http "${hosts[1]}:$port/$name:seen" hello >push.log 2>&1 || cat push.log
echo "$(./usr/bin/skopeo --version), oras $(./oras version | sed -n 's/^Version: *//p'), a name of $length characters"
short=$(seen "${hosts[0]}")
long=$(seen "${hosts[1]}")
echo "127.0.0.1:PORT/…         $short"
echo "127.100.100.100:PORT/…   $long"
[ "$short" = "255 in all, oras: seen, skopeo: seen" ] &&
    [ "$long" = "261 in all, oras: seen, skopeo: repository name must not be more than 255 characters" ]
