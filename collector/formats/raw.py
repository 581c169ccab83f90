"""Format `raw`: the vendor's record alone, as its own bytes."""

from __future__ import annotations

from collector.model import Event


def encode(event: Event) -> bytes:
    """One line of JSON, without its line end: what the vendor sent, repaired where it could not be sent as it was."""
    return event.raw
