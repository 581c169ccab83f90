#!/bin/sh
# Removes the service and the program. State, configuration and what file sinks wrote stay, unless --purge is given.
set -eu

usage() {
    echo "usage: uninstall.sh [--purge]    (--purge: also state, configuration, secrets, written events, the user)"
}

purge=no
case ${1-} in
    '') ;;
    --purge) purge=yes ;;
    -h | --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
esac
[ "$(id -u)" -eq 0 ] || { echo "uninstall.sh: must be run as root" >&2; exit 1; }

if [ -d /run/systemd/system ] && [ -e /etc/systemd/system/collector.service ]; then
    systemctl disable --now collector
fi
rm -f /etc/systemd/system/collector.service
rm -rf /opt/edr-collector
if [ "$(readlink /usr/local/bin/collector || true)" = /opt/edr-collector/bin/collector ]; then
    rm -f /usr/local/bin/collector
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
if [ "$purge" = yes ]; then
    rm -rf /etc/systemd/system/collector.service.d /etc/collector /var/lib/collector /var/log/collector
    if id edr-collector >/dev/null 2>&1; then
        userdel edr-collector
    fi
    echo "Removed, with state, configuration and written events."
else
    echo "Removed. Kept: /etc/collector, /var/lib/collector, /var/log/collector, the user edr-collector (--purge removes them)."
fi
