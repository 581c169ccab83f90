#!/bin/sh
# Fetches real syslog receivers for the integration tests and unpacks them, without installing anything, into the folder
# given. For Debian and Ubuntu. Root, or sudo that asks for no password, is needed only where apt has no package lists yet.
set -eu

target=${1:?usage: receivers.sh FOLDER}
packages="rsyslog rsyslog-openssl libestr0 libfastjson4 liblognorm5 syslog-ng-core libivykis0 libnet1 libwrap0 libpcre3"

[ ! -e "$target/.complete" ] || exit 0
command -v apt-get >/dev/null || { echo "receivers: needs apt-get" >&2; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"

fetch() {
    (cd "$work" && apt-get -qq download $packages >"$work/log" 2>&1)
}

if ! fetch; then
    if [ "$(id -u)" = 0 ]; then
        apt-get -qq update
    else
        sudo -n apt-get -qq update
    fi
    fetch || { cat "$work/log" >&2; exit 1; }
fi

rm -rf "$target"
mkdir -p "$target"
for package in "$work"/*.deb; do
    dpkg-deb -x "$package" "$target"
done
touch "$target/.complete"
echo "receivers: unpacked into $target"
