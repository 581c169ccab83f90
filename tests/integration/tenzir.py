"""Tenzir's own readers and its event collector, for what we write: its events come back as JSON."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.integration.required import program
from tests.integration.servers import Server, free_port

VERSION = "6.20.0"


def read_cef(lines: Iterable[bytes], folder: Path) -> list[dict[str, Any]]:
    """What Tenzir makes of lines of CEF: `signature_id`, `name`, ..., and `extension`; what it refuses is missing.

    Fails when it has anything to complain of. Pipes in the extension are escaped for its sake: it takes each for the
    end of a field of the header, where the standard lets them stand as they are.
    """
    source = folder / "lines.cef"
    source.write_bytes(b"".join(_with_escaped_pipes(line) + b"\n" for line in lines))
    pipeline = folder / "pipeline.tql"
    pipeline.write_text(f'from_file "{source}" {{ read_cef }}\nto_stdout {{ write_ndjson }}\n')
    tenzir = program("tenzir", package=f"tenzir=={VERSION}")
    done = subprocess.run([tenzir, "--bare-mode", "-f", str(pipeline)], capture_output=True, timeout=120, check=False)
    assert done.stderr.decode() == ""
    assert done.returncode == 0
    return [json.loads(line) for line in done.stdout.splitlines()]


def _with_escaped_pipes(line: bytes) -> bytes:
    end, fields = 0, 0
    while fields < 7:
        if line[end : end + 1] == b"\\":
            end += 1
        elif line[end : end + 1] == b"|":
            fields += 1
        end += 1
    return line[:end] + line[end:].replace(b"|", b"\\|")


def hec_receiver(folder: Path, token: str, options: str = "") -> tuple[Server, str]:
    """Tenzir as event collector, not started yet, and its URL; what it takes comes as lines of JSON in its log."""
    port = free_port()
    pipeline = folder / "hec.tql"
    listen = f'accept_splunk "127.0.0.1:{port}", hec_token="{token}"{options}'
    pipeline.write_text(f"{listen}\nto_stdout {{ write_ndjson }}\n")
    command = [program("tenzir", package=f"tenzir=={VERSION}"), "--bare-mode", "-f", str(pipeline)]
    return Server(command, os.environ, port, folder / "hec.log"), f"http://127.0.0.1:{port}"
