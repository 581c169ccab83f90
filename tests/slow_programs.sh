#!/bin/sh
# Installs what only the slow tests need: buildah, debootstrap and promtool by apt (as root), Tenzir into the folder given.
# For Debian and Ubuntu; says what could not be had and ends with 1 then.
set -eu

target=${1:?usage: slow_programs.sh FOLDER PYTHON}
python=${2:?usage: slow_programs.sh FOLDER PYTHON}
missing=""
lacking=0

for pair in buildah:buildah debootstrap:debootstrap promtool:prometheus openssl:openssl; do
    command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
done
if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get -qq update
        # shellcheck disable=SC2086 # a list of names
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $missing >/dev/null
    else
        echo "slow tests: missing$missing (apt install$missing)" >&2
        lacking=1
    fi
fi

if [ ! -e "$target/.complete" ]; then
    rm -rf "$target"
    "$python" -m venv "$target"
    "$target/bin/python" -m pip --disable-pip-version-check --quiet install tenzir==6.20.0 || lacking=1
    touch "$target/.complete"
fi
exit "$lacking"
