from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.sinks.file.paths import PathTemplate
from collector.testing import make_event


def test_the_fixed_directory_ends_before_the_first_name() -> None:
    assert PathTemplate("/var/log/edr/a-{tenant}/{date}.ndjson").base == "/var/log/edr"
    assert PathTemplate("/var/log/edr/events.ndjson").base == "/var/log/edr"
    assert PathTemplate("/events.ndjson").base == "/"


def test_a_relative_path_is_below_the_working_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    assert PathTemplate("{tenant}.ndjson").base == str(tmp_path)
    assert PathTemplate("events/{tenant}.ndjson").base == str(tmp_path / "events")


def test_names_are_relative_to_the_fixed_directory() -> None:
    template = PathTemplate("/srv/x-{tenant}//{source}/{date}.ndjson")

    assert template.render(make_event()) == "x-acme/withsecure/2026-11-22.ndjson"
    assert template.absolute("a/b") == "/srv/a/b"


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/srv/events/", "names a directory"),
        ("", "names a directory"),
        ("/srv/{tenant}/", "names a directory"),
        ("/srv/{tenant}/../{date}", "stand only before"),
        ("/srv/{tenant}/./{date}", "stand only before"),
        ("/srv/..", "stand only before"),
        ("/srv/{tenant}/..", "stand only before"),
        ("/srv/\0{tenant}", "NUL"),
        ("/srv/{tenent}", "did you mean tenant"),
    ],
)
def test_a_path_that_can_not_be_meant_is_refused(path: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        PathTemplate(path)


@given(
    tenant=st.text(max_size=300), organization=st.text(max_size=300), label=st.sampled_from(["", ".", "..", "/", "\0"])
)
def test_no_event_leaves_the_fixed_directory(tenant: str, organization: str, label: str) -> None:
    template = PathTemplate("/srv/{label.x}/{tenant}{organization}/.{label.x}{label.x}/{source}-{tenant}.ndjson")

    name = template.render(make_event(tenant=tenant, organization_id=organization, labels={"x": label}))

    parts = name.split("/")
    assert len(parts) == 4
    assert not {"", ".", ".."} & set(parts)
    assert all(len(part.encode()) <= 190 for part in parts)
    assert name.endswith(".ndjson")
    assert "\0" not in name
    assert len(name.encode()) <= template.longest


def test_long_names_are_cut_and_stay_distinct() -> None:
    template = PathTemplate("/srv/{tenant}{source}{feed}.ndjson")
    long = "x" * 79

    first = template.render(make_event(tenant=long, source=long, feed=long + "1"))
    second = template.render(make_event(tenant=long, source=long, feed=long + "2"))

    assert first != second
    assert len(first) == len(second) == 190
    assert first.endswith(".ndjson")


@pytest.mark.parametrize(
    ("path", "name", "rotated"),
    [
        ("/srv/events.ndjson", "events.ndjson", "events-S.ndjson"),
        ("/srv/{tenant}", "acme.fi", "acme.fi-S"),
        ("/srv/{tenant}.ndjson", "acme.fi.ndjson", "acme.fi-S.ndjson"),
        ("/srv/events", "events", "events-S"),
        ("/srv/a.b/{tenant}/.log", "acme/.log", "acme/-S.log"),
    ],
)
def test_a_rotated_name_keeps_the_extension(path: str, name: str, rotated: str) -> None:
    assert PathTemplate(path).rotated(name, "S", 0) == rotated


def test_a_counter_follows_the_stamp() -> None:
    assert PathTemplate("/srv/e.ndjson").rotated("e.ndjson", "S", 3) == "e-S-3.ndjson"


def test_only_rotated_files_of_this_template_are_found(tmp_path: Path) -> None:
    stamp = "20261122T101112.345Z"
    ours = {
        f"acme/2026-11-22-{stamp}.ndjson",
        f"acme/2026-11-22-{stamp}-1.ndjson",
        f"globex/2026-11-22-{stamp}.ndjson.gz",
        f"globex/.2026-11-22-{stamp}.ndjson.gz.0a1b.tmp",
    }
    others = {
        "acme/2026-11-22.ndjson",
        f"acme/2026-11-22-{stamp}.log",
        f"acme/deeper/2026-11-22-{stamp}.ndjson",
        f"2026-11-22-{stamp}.ndjson",
        f"globex/2026-11-22-{stamp}.ndjson.gz.tmp",
        f"with space/2026-11-22-{stamp}.ndjson",
    }
    for name in ours | others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()

    found = PathTemplate(f"{tmp_path}/{{tenant}}/{{date}}.ndjson").rotated_files()

    assert {str(Path(path).relative_to(tmp_path)) for path in found} == ours


def test_the_same_template_written_otherwise_is_known_for_the_same() -> None:
    assert PathTemplate("/srv/a/../b//{tenant}.x").canonical == PathTemplate("/srv/b/{tenant}.x").canonical
    assert PathTemplate("/srv/{tenant}").canonical != PathTemplate("/srv/{source}").canonical
