"""One event with every key filled."""

from __future__ import annotations

from datetime import UTC, datetime

from collector.model import Event

EVENT = Event(
    uid="0123456789abcdef0123456789abcdef",
    id="5d0e8c11_0",
    vendor="WithSecure",
    product="Elements",
    tenant="acme",
    labels={"customer": "Acme Oy"},
    organization_id="b1f0c3de",
    organization_name="Contoso Nordics Oy",
    source="withsecure",
    feed="security_events",
    kind="security_event",
    severity="medium",
    severity_vendor="warning",
    occurred_at=datetime(2026, 3, 2, 9, 14, 58, tzinfo=UTC),
    recorded_at=datetime(2026, 3, 2, 9, 15, 7, 412_999, tzinfo=UTC),
    fetched_at=datetime(2026, 3, 2, 9, 16, 0, 5_000, tzinfo=UTC),
    title="a title",
    fields={"host.name": "CN-LT-0417", "host.ip": ["192.0.2.44"]},
    flags=("repaired",),
    raw=b'{ "id" : "5d0e8c11_0", "n": 1.50 }',
)
