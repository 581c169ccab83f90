"""A small public key infrastructure on disk, made with the openssl command."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_LEAF = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1\nextendedKeyUsage=serverAuth,clientAuth\n"


@dataclass(frozen=True, slots=True)
class Certificates:
    """An authority, a server's and a client's certificate of it, and a client's that nobody trusts."""

    folder: Path

    @property
    def authority(self) -> Path:
        return self.folder / "ca.pem"

    def certificate(self, name: str) -> Path:
        return self.folder / f"{name}.pem"

    def key(self, name: str) -> Path:
        return self.folder / f"{name}.key"


def make_certificates(folder: Path) -> Certificates:
    """Make them all; keys are elliptic, which is quick."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "leaf.ext").write_text(_LEAF)
    for authority in ("ca", "other-ca"):
        _openssl(
            folder,
            *f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN={authority}".split(),
            *f"-keyout {authority}.key -out {authority}.pem -addext basicConstraints=critical,CA:TRUE".split(),
        )
    for name, authority in (("server", "ca"), ("client", "ca"), ("stranger", "other-ca")):
        _openssl(
            folder,
            *f"req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN={name}".split(),
            *f"-keyout {name}.key -out {name}.csr".split(),
        )
        _openssl(
            folder,
            *f"x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 30".split(),
            *f"-extfile leaf.ext -out {name}.pem".split(),
        )
    return Certificates(folder)


def encrypt(key: Path, into: Path, password: str) -> None:
    """Write the key, encrypted."""
    _openssl(key.parent, *f"pkey -in {key} -aes256 -passout pass:{password} -out {into}".split())


def _openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True, timeout=30)
