#!/bin/sh
# Installs or updates the collector as a systemd service; to be run as root from a checkout or an unpacked release.
# Running it again changes nothing but what is new. Neither state, configuration nor secrets are ever overwritten.
set -eu

USER_NAME=edr-collector
PREFIX=/opt/edr-collector
CONFIG=/etc/collector
UNIT=/etc/systemd/system/collector.service
LINK=/usr/local/bin/collector

usage() {
    echo "usage: install.sh [--python PATH]    (default: the newest python3 of 3.11 or newer)"
}

fail() {
    echo "install.sh: $*" >&2
    exit 1
}

find_python() {
    for name in python3.14 python3.13 python3.12 python3.11 python3; do
        if command -v "$name" >/dev/null && usable "$name"; then
            command -v "$name"
            return
        fi
    done
    fail "Python 3.11 or newer with its venv module is needed (Debian, Ubuntu: apt install python3-venv)"
}

usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

python=
while [ $# -gt 0 ]; do
    case $1 in
        --python) [ $# -ge 2 ] || fail "--python needs a path"; python=$2; shift 2 ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; exit 2 ;;
    esac
done

[ "$(id -u)" -eq 0 ] || fail "must be run as root"
source=$(cd "$(dirname "$0")/../.." && pwd)
[ -f "$source/pyproject.toml" ] || fail "$source is no checkout of the collector"
if [ -z "$python" ]; then
    python=$(find_python)
elif ! usable "$python"; then
    fail "$python is not Python 3.11 or newer with its venv module"
fi

# -- the program -------------------------------------------------------------------------------
# Built beside the old one and put in its place last, so that a failure half-way leaves what runs as it was. A virtual
# environment can't be moved, so each version has its own path.

version=$(date -u +%Y%m%d%H%M%S)-$$
new=$PREFIX/versions/$version
build=$(mktemp -d)
trap 'rm -rf "$build"; [ -e "$new/complete" ] || rm -rf "$new"' EXIT
mkdir -p "$PREFIX/versions"
cp -R "$source/pyproject.toml" "$source/README.md" "$source/LICENSE" "$source/collector" "$build/"
"$python" -m venv "$new"
pip() {
    "$new/bin/python" -m pip --disable-pip-version-check --no-input --quiet "$@"
}
pip install --require-hashes -r "$source/requirements/runtime.txt" -r "$source/requirements/build.txt"
pip install --no-deps --no-build-isolation --no-index "$build"
mkdir -p "$new/share/doc"
cp "$source"/docs/*.md "$new/share/doc/"
"$new/bin/collector" --version
touch "$new/complete"
for name in bin share; do
    ln -sfn "versions/$version/$name" "$PREFIX/$name.new"
    mv -T "$PREFIX/$name.new" "$PREFIX/$name"
done
ln -sfn "$PREFIX/bin/collector" "$LINK"

# -- user, folders, configuration ----------------------------------------------------------------

if ! id "$USER_NAME" >/dev/null 2>&1; then
    useradd --system --user-group --home-dir /var/lib/collector --no-create-home --shell /usr/sbin/nologin "$USER_NAME"
fi
install -d -m 0750 -o root -g "$USER_NAME" "$CONFIG" "$CONFIG/tenants.d"
install -d -m 0700 -o root -g root "$CONFIG/credentials"
if [ ! -e "$CONFIG/collector.yaml" ]; then
    install -m 0640 -o root -g "$USER_NAME" "$source/config/collector.yaml" "$CONFIG/collector.yaml"
fi

# -- the service ---------------------------------------------------------------------------------

install -m 0644 -o root -g root "$source/deploy/systemd/collector.service" "$UNIT"
running=no
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if systemctl --quiet is-active collector; then
        systemctl restart collector
        running=yes
    fi
fi
for old in "$PREFIX"/versions/*; do
    [ "$old" = "$new" ] || rm -rf "$old"
done
if [ "$running" = yes ]; then
    echo "Updated and restarted."
    exit 0
fi
cat <<DONE
Installed. Next:
  1. edit $CONFIG/collector.yaml, put the secrets into $CONFIG/credentials/ (one file each, chmod 600)
  2. systemctl enable --now collector
  3. systemctl status collector; collector status
DONE
