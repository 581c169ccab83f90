"""Builds images without a registry, and runs what is in one the way a careful operator would have it run."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.required import program

STAND_IN = """\
FROM scratch
ADD rootfs.tar /
RUN ln -s /usr/bin/python3 /usr/local/bin/python3
"""

# The host's way to packages, its proc and dev, and a folder of its own at /src, all but the root read-only.
_ADMINISTER = """
set -eu
root=$1 source=$2
shift 2
mkdir -p "$root/src"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind "$source" "$root/src"
for path in /etc/ssl/certs /etc/pip.conf /etc/resolv.conf; do
    [ -e "$path" ] || continue
    if [ -d "$path" ]; then mkdir -p "$root$path"; else touch "$root$path"; fi
    mount --bind "$path" "$root$path"
done
path=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
exec chroot "$root" /usr/bin/env --ignore-environment PATH="$path" "$@"
"""

# The root of the image read-only, a volume of the image's user on its one place for state, nothing else writable.
_RUN = """
set -eu
root=$1 user=$2 folder=$3
shift 3
mount --bind "$root" "$root"
mount -o remount,bind,ro "$root"
mount -t tmpfs -o mode=0700,uid="${user%:*}",gid="${user#*:}" tmpfs "$root$folder"
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
exec chroot --groups= --userspec="$user" "$root" /usr/bin/env --ignore-environment --chdir="$folder" "$@"
"""


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a command in the image."""

    status: int
    output: str


class Images:
    """Images in a folder of their own; `remove` takes them away again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._buildah = [
            program("buildah"),
            "--root", str(folder / "storage"),
            "--runroot", str(folder / "run"),
            "--storage-driver", "vfs",
        ]  # fmt: skip

    def build_stand_in(self, name: str) -> None:
        """A Debian with Python under the name of the base image, which no test can pull."""
        context = self._folder / "stand-in"
        rootfs = context / "rootfs"
        context.mkdir(parents=True)
        packages = "python3,python3-venv,python3-pip,ca-certificates"
        run([program("debootstrap"), "--variant=minbase", f"--include={packages}", "bookworm", str(rootfs)], 600)
        run(["tar", "-C", str(rootfs), "-cf", str(context / "rootfs.tar"), "."], 120)
        shutil.rmtree(rootfs)
        (context / "Dockerfile").write_text(STAND_IN)
        self.build(context, name)

    def build(self, context: Path, name: str) -> None:
        """Build a folder's Dockerfile; base images must be there already. The host's way to packages is the build's."""
        mounts = [path for path in ("/etc/ssl/certs", "/etc/pip.conf") if Path(path).exists()]
        volumes = [f"--volume={path}:{path}:ro" for path in mounts]
        options = ["--isolation=chroot", "--pull-never", "--format=docker", *volumes]
        self._run("bud", *options, "--tag", name, str(context), seconds=600)

    def configuration(self, name: str) -> dict[str, Any]:
        """What the image says of how it wants to be run."""
        document = json.loads(self._run("inspect", "--type", "image", name))
        found: dict[str, Any] = document["Docker"]["config"]
        return found

    def mounted(self, name: str) -> Path:
        """The image's files, unpacked."""
        container = self._run("from", "--pull-never", name).strip()
        return Path(self._run("mount", container).strip())

    def remove(self) -> None:
        """Take containers and images away."""
        self._run("rm", "--all")
        self._run("rmi", "--all", "--force")

    def _run(self, *arguments: str, seconds: float = 120) -> str:
        return run([*self._buildah, *arguments], seconds)


def run_read_only(root: Path, configuration: dict[str, Any], *arguments: str, seconds: float = 300) -> Finished:
    """The image's entry point with these arguments: as its user, on a read-only root, with an empty volume."""
    (volume,) = configuration["Volumes"]
    command = [*configuration["Env"], *configuration["Entrypoint"], *arguments]
    return in_root(root, configuration["User"], volume, command, seconds)


def in_root(root: Path, user: str, volume: str, command: Sequence[str], seconds: float) -> Finished:
    """Any command (after its variables) likewise."""
    shell = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _RUN, "sh", str(root), user, volume]
    ended = subprocess.run(
        [*shell, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=seconds, check=False
    )
    return Finished(ended.returncode, ended.stdout)


def administer(root: Path, source: Path, *command: str) -> str:
    """A command as root in a root that may be written, with `source` at /src; it must succeed."""
    shell = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", _ADMINISTER, "sh"]
    return run([*shell, str(root), str(source), *command], 300)


def run(command: Sequence[str], seconds: float) -> str:
    """Run a command that must succeed; its standard output."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    assert ended.returncode == 0, f"{command}: {ended.stdout[-3000:]}\n{ended.stderr[-3000:]}"
    return ended.stdout
