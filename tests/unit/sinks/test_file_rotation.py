import gzip
import os
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector import faults
from collector.sinks.file import rotation
from collector.sinks.file.paths import PathTemplate
from collector.sinks.file.rotation import Compressor, Rotation, compress, rotate, sweep

NOW = datetime(2026, 11, 22, 10, 11, 12, 345_678, tzinfo=UTC)
STAMP = "20261122T101112.345Z"


@pytest.fixture
def template(tmp_path: Path) -> PathTemplate:
    return PathTemplate(f"{tmp_path}/{{tenant}}.ndjson")


def file_of(path: Path, content: bytes = b"one\ntwo\n") -> str:
    path.write_bytes(content)
    return str(path)


def test_a_file_is_full_before_it_exceeds_its_size() -> None:
    rules = Rotation(max_size=100)

    assert not rules.is_due(50, 50, 0, 0)
    assert rules.is_due(50, 51, 0, 0)
    assert not rules.is_due(0, 1000, 0, 0)


def test_a_file_is_old_when_a_new_span_has_begun() -> None:
    rules = Rotation(every=timedelta(hours=1))

    assert not rules.is_due(50, 1, written_at=3600, now=7199.9)
    assert rules.is_due(50, 1, written_at=7199.9, now=7200)
    assert rules.is_due(50, 1, written_at=7200, now=7199.9)


def test_without_rules_nothing_is_rotated() -> None:
    assert not Rotation().is_on
    assert not Rotation().is_due(1 << 60, 1, 0, 1e9)


def test_the_rotated_file_carries_the_time_and_keeps_its_extension(template: PathTemplate, tmp_path: Path) -> None:
    path = file_of(tmp_path / "acme.ndjson")

    assert rotate(template, path, NOW) == f"{tmp_path}/acme-{STAMP}.ndjson"
    assert [entry.name for entry in tmp_path.iterdir()] == [f"acme-{STAMP}.ndjson"]


def test_a_name_in_use_is_never_taken(template: PathTemplate, tmp_path: Path) -> None:
    file_of(tmp_path / f"acme-{STAMP}.ndjson", b"first\n")
    file_of(tmp_path / f"acme-{STAMP}-1.ndjson.gz", b"second\n")

    target = rotate(template, file_of(tmp_path / "acme.ndjson"), NOW)

    assert target == f"{tmp_path}/acme-{STAMP}-2.ndjson"
    assert (tmp_path / f"acme-{STAMP}.ndjson").read_bytes() == b"first\n"


def test_the_new_name_is_durable_before_anything_else_happens(
    template: PathTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    happened: list[str] = []
    monkeypatch.setattr(rotation, "sync_directory", lambda path: happened.append(f"sync {path}"))
    monkeypatch.setattr(faults, "point", happened.append)

    rotate(template, file_of(tmp_path / "acme.ndjson"), NOW)

    assert happened == ["rotate.before", f"sync {tmp_path}", "rotate.renamed"]


def test_a_compressed_file_takes_the_place_of_the_plain_one(tmp_path: Path) -> None:
    content = b"".join(b"line %d\n" % number for number in range(300_000))
    path = Path(file_of(tmp_path / f"acme-{STAMP}.ndjson", content))
    path.chmod(0o604)
    os.utime(path, (1000, 1000))

    compress(str(path), threading.Event())

    compressed = tmp_path / f"acme-{STAMP}.ndjson.gz"
    assert list(tmp_path.iterdir()) == [compressed]
    assert gzip.decompress(compressed.read_bytes()) == content
    assert compressed.stat().st_mode & 0o777 == 0o604
    assert compressed.stat().st_mtime == 1000


def test_an_interrupted_compression_leaves_no_trace(tmp_path: Path) -> None:
    path = file_of(tmp_path / f"acme-{STAMP}.ndjson")
    stopped = threading.Event()
    stopped.set()

    compress(path, stopped)

    assert [str(entry) for entry in tmp_path.iterdir()] == [path]


def test_a_compressed_file_never_replaces_another(tmp_path: Path) -> None:
    path = file_of(tmp_path / f"acme-{STAMP}.ndjson")
    file_of(tmp_path / f"acme-{STAMP}.ndjson.gz", b"somebody's")

    with pytest.raises(FileExistsError):
        compress(path, threading.Event())

    assert sorted(entry.name for entry in tmp_path.iterdir()) == [f"acme-{STAMP}.ndjson", f"acme-{STAMP}.ndjson.gz"]
    assert (tmp_path / f"acme-{STAMP}.ndjson.gz").read_bytes() == b"somebody's"


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", ["fsync", "rename", "unlink"])
def test_after_a_crash_in_compression_each_line_has_one_place(
    template: PathTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    path = file_of(tmp_path / f"acme-{STAMP}.ndjson")

    def killed(*args: object) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(os, step, killed)
        patch.setattr(rotation, "_remove", lambda path: None)
        with pytest.raises(Killed):
            compress(path, threading.Event())
    left = sweep(template)

    assert len(list(tmp_path.iterdir())) == 1
    assert left == ([] if step == "unlink" else [path])
    if step == "unlink":
        assert gzip.decompress((tmp_path / f"acme-{STAMP}.ndjson.gz").read_bytes()) == b"one\ntwo\n"


@pytest.mark.parametrize(
    "twin",
    [
        gzip.compress(b"other\n", mtime=0),
        gzip.compress(b"one\ntwo\n", mtime=0)[:-9],
        gzip.compress(b"one\n", mtime=0),
        b"",
        b"no gzip at all",
    ],
)
def test_a_plain_file_is_removed_only_for_a_twin_that_holds_all_of_it(
    template: PathTemplate, tmp_path: Path, twin: bytes
) -> None:
    path = file_of(tmp_path / f"acme-{STAMP}.ndjson")
    file_of(tmp_path / f"acme-{STAMP}.ndjson.gz", twin)

    assert sweep(template) == []
    assert Path(path).read_bytes() == b"one\ntwo\n"


def test_a_large_plain_file_is_compared_to_its_end(template: PathTemplate, tmp_path: Path) -> None:
    content = b"x" * 5_000_000
    path = file_of(tmp_path / f"acme-{STAMP}.ndjson", content)
    twin = tmp_path / f"acme-{STAMP}.ndjson.gz"
    file_of(twin, gzip.compress(content[:-1] + b"y", mtime=0))

    sweep(template)
    assert Path(path).exists()

    file_of(twin, gzip.compress(content, mtime=0))
    sweep(template)
    assert not Path(path).exists()


def test_the_compressor_works_through_what_it_is_given_and_outlives_failures(tmp_path: Path) -> None:
    path = file_of(tmp_path / f"acme-{STAMP}.ndjson")
    compressor = Compressor()

    compressor.add(str(tmp_path / "gone.ndjson"))
    compressor.add(path)
    compressor.wait()
    compressor.close()

    assert [entry.name for entry in tmp_path.iterdir()] == [f"acme-{STAMP}.ndjson.gz"]
