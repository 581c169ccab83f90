import os
from pathlib import Path

import pytest

from collector.errors import SinkDenied
from collector.sinks.file.recovery import Extent, Intent, Tail, kept_length, recover


def recovered(directory: Path, extent: Extent, name: str = "a") -> Tail | None:
    return recover(Intent(str(directory), 5, {name: extent}), str(directory)).get(name)


def inode(path: Path) -> int:
    return path.stat().st_ino


def test_an_intent_survives_being_stored() -> None:
    intent = Intent("/srv", 7, {"t/å.ndjson": Extent(None, 0, 10), "b": Extent(12345, 2, 3)})

    assert Intent.decode(intent.encode()) == intent


@pytest.mark.parametrize(
    "state", [b"", b"[]", b"{}", b"null", b'{"v":1}', b'{"v":1,"base":"/","events":0,"files":{"a":[1]}}']
)
def test_a_damaged_state_holds_the_sink_and_cuts_nothing(state: bytes) -> None:
    with pytest.raises(SinkDenied, match="damaged"):
        Intent.decode(state)


def test_a_state_of_a_newer_version_holds_the_sink() -> None:
    with pytest.raises(SinkDenied, match="version 2, not 1"):
        Intent.decode(b'{"v":2}')


def test_a_torn_line_is_cut_and_whole_lines_wait_for_their_events(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"settled\none\ntwo\nthr")

    tail = recovered(tmp_path, Extent(inode(path), 8, 100))

    assert path.read_bytes() == b"settled\none\ntwo\n"
    assert tail == Tail(inode(path), 8, b"one\ntwo\n", torn=False)


def test_what_is_cut_stays_cut_and_what_was_created_stays_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power cut a torn line would come back, or a file that counted as settled be gone."""
    path = tmp_path / "a"
    path.write_bytes(b"one\ntw")
    synced: dict[int, int] = {}
    monkeypatch.setattr(os, "fsync", lambda fd: synced.update({os.fstat(fd).st_ino: os.fstat(fd).st_size}))

    recovered(tmp_path, Extent(None, 0, 100))

    assert synced[inode(path)] == 4
    assert inode(tmp_path) in synced


def test_nothing_but_a_torn_line_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"settled\non")

    assert recovered(tmp_path, Extent(inode(path), 8, 100)) is None
    assert path.read_bytes() == b"settled\n"


def test_a_file_the_batch_created_is_judged_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\ntw")

    tail = recovered(tmp_path, Extent(None, 0, 100))

    assert tail == Tail(inode(path), 0, b"one\n", torn=False)
    assert path.read_bytes() == b"one\n"


def test_a_replaced_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"settled\non")

    assert recovered(tmp_path, Extent(inode(path) + 1, 8, 100)) is None
    assert path.read_bytes() == b"settled\non"


def test_a_missing_file_is_not_made(tmp_path: Path) -> None:
    assert recovered(tmp_path, Extent(1, 8, 100)) is None
    assert recovered(tmp_path, Extent(None, 0, 100), "b/c") is None
    assert list(tmp_path.iterdir()) == []


def test_a_shortened_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"new\nstu")

    assert recovered(tmp_path, Extent(inode(path), 8, 100)) is None
    assert path.read_bytes() == b"new\nstu"


def test_a_file_larger_than_the_batch_can_have_made_it_is_not_cut(tmp_path: Path) -> None:
    """As with a state restored from an old backup: the file holds years that nobody will send again."""
    path = tmp_path / "a"
    path.write_bytes(b"settled\n" + b"years\n" * 50 + b"torn")

    assert recovered(tmp_path, Extent(inode(path), 8, 100)) is None
    assert recovered(tmp_path, Extent(None, 0, 100)) is None
    assert path.stat().st_size == 8 + 300 + 4


def test_a_directory_in_place_of_a_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()

    assert recovered(tmp_path, Extent(1, 8, 100)) is None
    assert recovered(tmp_path, Extent(None, 0, 100), "b/c") is None


def test_a_pipe_in_place_of_a_file_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")

    with pytest.raises(OSError, match="not a regular file"):
        recovered(tmp_path, Extent(None, 0, 100))


def test_files_below_a_former_fixed_directory_are_cut_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"settled\none\ntwo\n")
    intent = Intent(str(tmp_path), 5, {"a": Extent(inode(path), 8, 100)})

    assert recover(intent, "/elsewhere") == {}
    assert path.read_bytes() == b"settled\n"


def test_a_former_directory_that_is_broken_does_not_stop_the_new_one(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a")

    assert recover(Intent(str(tmp_path), 5, {"a": Extent(None, 0, 100)}), "/elsewhere") == {}


@pytest.mark.parametrize(
    ("content", "lines", "kept"),
    [
        (b"a\nb\n", b"a\nb\nc\n", 4),
        (b"a\nb\nc\n", b"a\n", 2),
        (b"a\nx\n", b"a\nb\n", 2),
        (b"x\na\n", b"a\nb\n", 0),
        (b"ab\n", b"abc\n", 0),
        (b"abc\n", b"ab\n", 0),
        (b"a\nb\n", b"a\nb\n", 4),
    ],
)
def test_only_whole_equal_lines_are_kept(content: bytes, lines: bytes, kept: int) -> None:
    assert kept_length(content, lines) == kept
