"""What a query string may hold."""

from __future__ import annotations

import pytest

from collector.simulator.eset import EsetSimulator
from tests.unit.simulator.eset.reader import DAY, INCIDENTS, V1, V2, Reader, fill


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        (V1, {"filter": "x"}),
        (V1, {"orderBy": "occurTime"}),
        (V1, {"sort": "x"}),
        (V1, {"cloudOfficeTenantUuid": "x"}),
        (V2, {"deviceUuid": "x"}),
        (INCIDENTS, {"startTime": "2026-03-02T00:00:00Z"}),
        (V1, {"startTime": "yesterday"}),
        (V1, {"startTime": "2026-03-02T00:00:00"}),
        (V1, {"pageSize": "-1"}),
        (V1, {"pageSize": "many"}),
        (V1, {"pageSize": "100000"}),
        (V1, {"pageToken": "x" * 129}),
        (V1, {"pageToken": "made-up"}),
        (INCIDENTS, {"orderBy": "severity"}),
        (INCIDENTS, {"orderBy": "update_time downwards"}),
        (INCIDENTS, {"orderBy": ",".join(["update_time"] * 10)}),
    ],
)
async def test_what_is_not_documented_is_400_with_an_empty_body(
    vendor: EsetSimulator, reader: Reader, path: str, parameters: dict[str, str]
) -> None:
    vendor.offer(v2=200)

    reply = await reader.get(path, **parameters)

    assert (reply.status, reply.body) == (400, b"")
    assert len(vendor.violations) == 1


async def test_repeated_parameters_are_refused_in_either_spelling(vendor: EsetSimulator, reader: Reader) -> None:
    twice = await reader.get(f"{V1}?pageSize=2&pageSize=3")
    mixed = await reader.get(f"{V1}?pageSize=2&page_size=3")

    assert (twice.status, mixed.status) == (400, 400)
    assert vendor.violations == ["repeated parameter: pageSize", "repeated parameter: page_size"]


async def test_snake_case_is_taken_as_camel_case(vendor: EsetSimulator, reader: Reader) -> None:
    fill(vendor)

    reply = await reader.get(V1, page_size="7", start_time=DAY["startTime"])

    assert len(reply.json["detections"]) == 7
    assert vendor.violations == []


@pytest.mark.parametrize(
    ("asked", "served"), [(None, 50), ("0", 50), ("7", 7), ("1000", 1000), ("1001", 1000), ("99999", 1000)]
)
async def test_page_sizes_are_reduced_in_silence(
    vendor: EsetSimulator, reader: Reader, asked: str | None, served: int
) -> None:
    fill(vendor, 1200)

    reply = await reader.get(V1, **({} if asked is None else {"pageSize": asked}))

    assert len(reply.json["detections"]) == served
    assert vendor.violations == []


async def test_unknown_paths_and_other_methods_are_refused(vendor: EsetSimulator, reader: Reader) -> None:
    unknown = await reader.get("/v1/incidents")
    posted = await reader.send("POST", V1)
    deeper = await reader.get("/v2/incidents/a/b/c")

    assert (unknown.status, posted.status, deeper.status) == (404, 405, 404)
    assert len(vendor.violations) == 3
