"""TLS contexts of our connections, made of files."""

from __future__ import annotations

import ssl
from pathlib import Path


def client_context(
    *,
    ca_file: Path | None = None,
    cert_file: Path | None = None,
    key_file: Path | None = None,
    key_password: str = "",
    verify: bool = True,
) -> ssl.SSLContext:
    """A context for connecting: TLS 1.2 or newer, the system's authorities unless `ca_file` names others.

    Reads files: not for the event loop. A missing `close_notify` counts as an error, which Python hides by default.

    Raises:
        OSError: a file can't be read or is not what it should be (`ssl.SSLError` is an OSError).
        ValueError: likewise.
    """
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if cert_file:
        # Always a password: without one OpenSSL would ask for it on the terminal.
        context.load_cert_chain(cert_file, key_file, password=lambda: key_password)
    return context
