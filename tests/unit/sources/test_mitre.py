"""Tactics and techniques of MITRE ATT&CK are found in vendors' words, and nothing else is taken for one."""

from __future__ import annotations

import pytest

from collector.sources.mitre import TACTICS, tactics_in, tactics_of, techniques_in, threat_fields


def test_the_matrix_has_fourteen_tactics() -> None:
    assert len(TACTICS) == len(set(TACTICS.values())) == 14


@pytest.mark.parametrize(
    ("word", "number"),
    [
        ("LATERAL_MOVEMENT", "TA0008"),
        ("Lateral movement", "TA0008"),
        ("lateralMovement", "TA0008"),
        ("TA0008", "TA0008"),
        ("CREDENTIAL_THEFT", "TA0006"),
        ("PERSISTENCE", "TA0003"),
        ("PRIVILEGE_ESCALATION", "TA0004"),
        ("RECON_ACTIVITIES", "TA0007"),
        ("COMMAND_AND_CONTROL", "TA0011"),
        ("C&C", None),
        ("MALWARE", None),
        ("", None),
        ("___", None),
        ("TA9999", None),
        (None, None),
        (7, None),
        (["PERSISTENCE"], None),
    ],
)
def test_a_tactic_is_known_however_it_is_written(word: object, number: str | None) -> None:
    assert tactics_of([word]) == (() if number is None else (number,))


def test_each_tactic_counts_once_in_the_order_of_the_words() -> None:
    assert tactics_of(["PERSISTENCE", "x", "EXECUTION", "Persistence"]) == ("TA0003", "TA0002")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Shell started [T1059.001]", ("T1059.001",)),
        ("T1059, T1003.001 and T1059 again", ("T1059", "T1003.001")),
        ("(T1547)", ("T1547",)),
        ("ends with T1547.", ("T1547",)),
        ("T1547.01", ()),
        ("T1547.0011", ()),
        ("T15470", ()),
        ("XT1547", ()),
        ("T1547X", ()),
        ("T0886", ()),
        ("t1547", ()),
        ("T\u0661\u0662\u0663\u0664", ()),
        ("", ()),
        ("x" * 20_000 + " T1547", ()),
    ],
)
def test_techniques_are_found_by_their_numbers_alone(text: str, found: tuple[str, ...]) -> None:
    assert techniques_in(text) == found


def test_what_is_found_in_a_text_is_bounded() -> None:
    assert len(techniques_in(" ".join(f"T1{number:03d}" for number in range(900)))) == 32


def test_tactics_are_found_in_a_text_where_the_matrix_knows_them() -> None:
    assert tactics_in("TA0002/TA0003, TA0099, XTA0004, TA0002") == ("TA0002", "TA0003")


def test_the_fields_are_lists_that_go_together() -> None:
    assert threat_fields(["TA0002", "TA0003", "TA0002", "TA9999"], ["T1059.001", "T1059", "T1003"]) == {
        "threat.framework": "MITRE ATT&CK",
        "threat.tactic.id": ["TA0002", "TA0003"],
        "threat.tactic.name": ["Execution", "Persistence"],
        "threat.technique.id": ["T1059", "T1003"],
        "threat.technique.subtechnique.id": ["T1059.001"],
    }


@pytest.mark.parametrize(("tactics", "techniques"), [((), ()), (("TA9999",), ())], ids=["nothing", "unknown"])
def test_without_a_number_there_are_no_fields(tactics: tuple[str, ...], techniques: tuple[str, ...]) -> None:
    assert threat_fields(tactics, techniques) == {}
