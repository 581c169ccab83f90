"""Tenzir's own readers, for what we write: a pipeline is run over a file and its events come back as JSON."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.integration.required import program

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
