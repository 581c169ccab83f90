"""The filter of incidents: what is documented is understood, all else is refused."""

from __future__ import annotations

import pytest

from collector.simulator.eset.cel import read_filter
from collector.simulator.eset.incident import make_state
from collector.simulator.rules import Refused
from tests.unit.simulator.reader import NOON

NOON_MS = int(NOON.timestamp()) * 1000
STATE = make_state(
    0,
    (NOON_MS - 60_000, NOON_MS + 120),
    {
        "displayName": "Shell && more",
        "status": "INCIDENT_STATUS_OPEN",
        "severity": "INCIDENT_SEVERITY_LEVEL_HIGH",
        "assigneeUuid": "",
        "deviceUuids": ["d-1", "d-2"],
        "tags": [],
    },
    (),
    bare=True,
)


@pytest.mark.parametrize(
    ("text", "passes"),
    [
        ('incident.update_time >= timestamp("2026-03-02T12:00:00.120Z")', True),
        ('incident.update_time >= timestamp("2026-03-02T12:00:00.121Z")', False),
        ("incident.update_time <= timestamp('2026-03-02T13:00:00.120+01:00')", True),
        ('incident.update_time!=timestamp("2026-03-02T12:00:00.120Z")', False),
        (
            'incident.create_time >= timestamp("2026-03-02T11:59:00Z") && incident.tags.contains("x")',
            False,
        ),
        ("incident.status in [INCIDENT_STATUS_OPEN,INCIDENT_STATUS_IN_PROGRESS]", True),
        ("incident.status in [ INCIDENT_STATUS_CLOSED ]", False),
        ("incident.severity == INCIDENT_SEVERITY_LEVEL_HIGH", True),
        ('incident.display_name == "Shell && more" && incident.status == INCIDENT_STATUS_OPEN', True),
        ('incident.display_name.contains("ell")', True),
        ('incident.assignee_uuid != "u-1"', True),
        ('"d-2" in incident.device_uuids', True),
        ('incident.device_uuids.contains("d-3")', False),
        ("has(incident.tags)", False),
        ("has(incident.update_time)", True),
        ("size(incident.device_uuids) >= 2", True),
    ],
)
def test_documented_filters_are_understood(text: str, passes: bool) -> None:
    assert read_filter(text)(STATE) is passes


@pytest.mark.parametrize(
    "text",
    [
        "",
        'incident.update_time > timestamp("2026-03-02T12:00:00Z")',
        'incident.update_time < timestamp("2026-03-02T12:00:00Z")',
        'update_time >= timestamp("2026-03-02T12:00:00Z")',
        'incident.update_time >= "2026-03-02T12:00:00Z"',
        'incident.update_time >= timestamp("2026-03-02 12:00:00")',
        'incident.updateTime >= timestamp("2026-03-02T12:00:00Z")',
        "incident.status == INCIDENT_STATUS_OPEN AND incident.severity == INCIDENT_SEVERITY_LEVEL_LOW",
        "incident.status == INCIDENT_STATUS_OPEN || incident.severity == INCIDENT_SEVERITY_LEVEL_LOW",
        "incident.status != INCIDENT_STATUS_OPEN",
        "incident.status >= INCIDENT_STATUS_OPEN",
        "incident.status == INCIDENT_STATUS_OPEN &&",
        "incident.status.contains('OPEN')",
        "incident.update_time in [1]",
        "incident.tags == []",
        "incident.display_name == shell",
        "size(incident.display_name) == 1",
        "'x' in incident.display_name",
        "update_time ge 2026",
    ],
)
def test_undocumented_filters_are_refused(text: str) -> None:
    with pytest.raises(Refused) as refused:
        read_filter(text)

    assert refused.value.status == 400
    assert refused.value.rule == "filter that is not in the documented language"


def test_a_filter_of_more_than_200_characters_is_refused() -> None:
    text = 'incident.display_name == "' + "x" * 173 + '"'
    assert len(text) == 200
    assert read_filter(text)(STATE) is False

    with pytest.raises(Refused, match=r".*") as refused:
        read_filter(text.replace("x", "xx", 1))

    assert refused.value.rule == "filter over 200 characters"
