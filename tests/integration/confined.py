"""`python confined.py UNIT COMMAND...`: runs a command under the unit's memory and system call rules.

With the same library and in the same manner as systemd does for MemoryDenyWriteExecute= and SystemCallFilter=.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ALLOW, DENY = 0x7FFF0000, 0x00050000 | errno.EPERM
_MASKED_EQUAL = 7
_SHM_EXEC = 0o100000


class _Comparison(ctypes.Structure):
    _fields_ = (
        ("argument", ctypes.c_uint),
        ("operator", ctypes.c_int),
        ("mask", ctypes.c_uint64),
        ("value", ctypes.c_uint64),
    )


def confine(unit: str) -> None:
    """Put this process and all that it starts under the unit's rules, for good."""
    if "MemoryDenyWriteExecute=yes" in unit.splitlines():
        write_execute = mmap.PROT_WRITE | mmap.PROT_EXEC
        forbidden = {
            "mmap": (2, write_execute),
            "mprotect": (2, mmap.PROT_EXEC),
            "pkey_mprotect": (2, mmap.PROT_EXEC),
            "shmat": (2, _SHM_EXEC),
        }
        _load(ALLOW, DENY, forbidden)
    _load(DENY, ALLOW, dict.fromkeys(_allowed(unit)))


def _allowed(unit: str) -> Iterator[str]:
    allowed: set[str] = set()
    for line in re.findall(r"^SystemCallFilter=(.+)$", unit, re.MULTILINE):
        names = set(_expanded(line.lstrip("~").split()))
        allowed = allowed - names if line.startswith("~") else allowed | names
    assert allowed, "the unit has no filter"
    yield from sorted(allowed)


def _expanded(names: list[str]) -> Iterator[str]:
    for name in names:
        if not name.startswith("@"):
            yield name
            continue
        command = ["systemd-analyze", "syscall-filter", "--no-pager", name]
        listing = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        members = [line.strip() for line in listing.splitlines()[1:]]
        yield from _expanded([member for member in members if member and not member.startswith("#")])


def _load(default: int, action: int, rules: Mapping[str, tuple[int, int] | None]) -> None:
    """One filter: `action` for these calls (with all of these bits set in that argument), `default` for all others."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    library.seccomp_rule_add_array.argtypes = (
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_int,
        ctypes.c_uint,
        ctypes.POINTER(_Comparison),
    )
    library.seccomp_load.argtypes = (ctypes.c_void_p,)
    context = library.seccomp_init(ctypes.c_uint32(default))
    for name, bits in rules.items():
        number = library.seccomp_syscall_resolve_name(name.encode())
        if number < 0:  # of another architecture
            continue
        compared = [] if bits is None else [_Comparison(bits[0], _MASKED_EQUAL, bits[1], bits[1])]
        comparisons = (_Comparison * len(compared))(*compared)
        failed = library.seccomp_rule_add_array(context, action, number, len(compared), comparisons)
        assert failed == 0, f"{name}: {os.strerror(-failed)}"
    failed = library.seccomp_load(context)
    assert failed == 0, os.strerror(-failed)


if __name__ == "__main__":
    confine(Path(sys.argv[1]).read_text())
    os.execvp(sys.argv[2], sys.argv[2:])
