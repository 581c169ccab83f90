"""That the parts of a configuration agree with each other."""

from __future__ import annotations

import pytest

from .conftest import SINKS, SOURCE, TENANTS, Folder


def source(more: str) -> str:
    return SOURCE.replace("'}", f"', {more}}}")


@pytest.mark.parametrize("text", [SINKS, SINKS + "tenants: {}", SINKS + "tenants:\n"])
def test_there_must_be_a_tenant(folder: Folder, text: str) -> None:
    problems = folder.problems(text)

    assert len(problems) == 1
    assert problems[0].endswith("tenants: at least one tenant is needed")


def test_there_must_be_a_sink(folder: Folder) -> None:
    assert folder.problems(TENANTS) == ["collector.yaml:1: sinks: at least one sink is needed"]


@pytest.mark.parametrize("name", ["a b", "-a", "ä", "a/b", "", "x" * 65, ".."])
def test_names_that_fit_into_no_path_or_command_are_refused(folder: Folder, name: str) -> None:
    problems = folder.problems(TENANTS.replace("acme", f'"{name}"') + SINKS.replace("archive", f'"{name}"'))

    assert len(problems) == 2
    assert "the name must be 1 to 64 of A-Z a-z 0-9 . _ -" in problems[0]
    assert "the name must be" in problems[1]


def test_two_sources_of_one_type_need_names(folder: Folder) -> None:
    problems = folder.problems(f"tenants: {{acme: {{sources: [{SOURCE}, {SOURCE}]}}}}\n{SINKS}")
    config = folder.load(f"tenants: {{acme: {{sources: [{SOURCE}, {source('name: second')}]}}}}\n{SINKS}")

    assert problems == [
        "collector.yaml:1: tenants.acme.sources[1].name: a second source named withsecure; give it another name"
    ]
    assert [one.name for one in config.tenants["acme"].sources] == ["withsecure", "second"]


def test_ids_are_remembered_for_two_sweep_windows_at_least(folder: Folder) -> None:
    tenants = f"tenants: {{acme: {{sources: [{source('sweep: {every: 1d, window: 4d}')}]}}}}\n"

    problems = folder.problems(tenants + SINKS + "state: {remember_ids: 7d, keep_delivered: 1d}")

    assert problems == [
        "collector.yaml:3: state.remember_ids: must be at least 8d, twice the sweep window of acme/withsecure; it is 7d"
    ]
    assert folder.load(tenants + SINKS + "state: {remember_ids: 8d}").state.remember_ids.days == 8


def test_a_sweep_window_too_long_for_the_default_horizon_is_refused_as_well(folder: Folder) -> None:
    problems = folder.problems(
        f"tenants: {{acme: {{sources: [{source('sweep: {every: 1d, window: 16d}')}]}}}}\n{SINKS}"
    )

    assert len(problems) == 1
    assert "state.remember_ids: must be at least 32d" in problems[0]


def test_a_sweep_begins_again_before_its_window_ends(folder: Folder) -> None:
    problems = folder.problems(
        f"tenants: {{acme: {{sources: [{source('sweep: {every: 15m, window: 15m}')}]}}}}\n{SINKS}"
    )

    assert problems == [
        "collector.yaml:1: tenants.acme.sources[0].sweep: every (15m) must be shorter than window (15m)"
    ]


def test_pages_are_not_kept_longer_than_their_ids(folder: Folder) -> None:
    problems = folder.problems(TENANTS + SINKS + "state: {remember_ids: 10d, keep_delivered: 11d}")

    assert problems == ["collector.yaml:3: state.keep_delivered: must not be longer than remember_ids (10d)"]


def test_pages_are_kept_as_long_as_their_ids_where_that_is_shorter_than_the_default(folder: Folder) -> None:
    state = folder.load(TENANTS + SINKS + "state: {remember_ids: 2d}").state

    assert state.keep_delivered == state.remember_ids


def test_a_backlog_fits_into_the_state(folder: Folder) -> None:
    problems = folder.problems(
        TENANTS + SINKS.replace("ndjson}", "ndjson, max_backlog: 2GiB}") + "state: {max_size: 1GiB}"
    )

    assert problems == ["collector.yaml:2: sinks.archive.max_backlog: must not be more than state.max_size (1GiB)"]


def test_two_sinks_do_not_write_the_same_file(folder: Folder) -> None:
    problems = folder.problems(
        TENANTS + "sinks:\n  a: {type: file, path: 'x/{tenant}'}\n  b: {type: file, path: 'x/./{tenant}'}\n"
    )

    assert problems == ["collector.yaml:4: sinks.b.path: sink a writes there already"]


def test_paths_that_may_meet_in_one_file_are_warned_of(folder: Folder) -> None:
    sinks = "sinks:\n  a: {type: file, path: out/acme.ndjson}\n  b: {type: file, path: 'out/{tenant}.ndjson'}\n"

    config = folder.load(TENANTS + sinks)

    assert [text.partition("sinks.")[2] for text in config.warnings if "same file" in text] == [
        "a.path: sink b may write to the same file: each would cut back what the other wrote"
    ]


def test_one_account_under_two_tenants_is_warned_of(folder: Folder) -> None:
    config = folder.load(f"tenants: {{acme: {{sources: [{SOURCE}]}}, beta: {{sources: [{SOURCE}]}}}}\n{SINKS}")

    assert [text.partition("tenants.")[2] for text in config.warnings if "same account" in text] == [
        "beta.sources[0].client_id: acme/withsecure reads the same account: its events are delivered twice"
    ]


def test_one_api_user_under_two_tenants_is_warned_of_unless_elsewhere(folder: Folder) -> None:
    one = "{type: eset, region: eu, username: edr-collector@contoso.example, password: '${env:SECRET}'}"
    other = one.replace("eu", "us", 1)

    config = folder.load(
        f"tenants: {{a: {{sources: [{one}]}}, b: {{sources: [{one}]}}, c: {{sources: [{other}]}}}}\n{SINKS}"
    )

    assert [text.partition("tenants.")[2] for text in config.warnings if "same account" in text] == [
        "b.sources[0].username: a/eset reads the same account: its events are delivered twice"
    ]


def test_an_api_user_without_a_region_is_told_which_there_are(folder: Folder) -> None:
    eset = "{type: eset, username: edr-collector@contoso.example, password: '${env:SECRET}'}"

    (problem,) = folder.problems(f"tenants: {{a: {{sources: [{eset}]}}}}\n{SINKS}")

    assert problem.startswith("collector.yaml:1: tenants.a.sources[0]: region is missing: one of eu, us, de, ca, jpn")


def test_what_was_renamed_does_not_exist_any_more_and_has_one_heir(folder: Folder) -> None:
    sinks = (
        "sinks:\n  a: {type: file, path: a, renamed_from: b}\n  b: {type: file, path: b, renamed_from: z}\n"
        "  c: {type: file, path: c, renamed_from: z}\n"
    )
    tenants = f"tenants: {{acme: {{sources: [{SOURCE}, {source('name: s, renamed_from: withsecure')}]}}}}\n"

    assert folder.problems(tenants + sinks) == [
        "collector.yaml:1: tenants.acme.sources[1].renamed_from: withsecure is still the name of a source",
        "collector.yaml:3: sinks.a.renamed_from: b still exists under sinks",
        "collector.yaml:5: sinks.c.renamed_from: b says already that it was z",
    ]


def test_a_route_from_nowhere_is_a_warning_with_a_guess(folder: Folder) -> None:
    tenants = TENANTS.replace("{sources", "{organizations: {id: acme-north}, sources")
    route = "route: {tenants: [acme, acme-north, 'cust-*', acne], sources: [withsecure], feeds: [detections]}"

    config = folder.load(tenants + SINKS.replace("ndjson}", f"ndjson, {route}}}"))

    assert [warning.partition(": ")[2] for warning in config.warnings] == [
        "sinks.archive.route.tenants[3]: nothing has this name, so nothing of it comes here; did you mean acme?",
        "sinks.archive.route.feeds[0]: nothing has this name, so nothing of it comes here",
    ]
