from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from collector import __version__
from tests.integration import required
from tests.integration.image import Images, administer

pytestmark = [pytest.mark.integration, pytest.mark.slow, pytest.mark.timeout(900)]

SOURCE = Path(__file__).parents[2]
INSTALL, UNINSTALL = "/src/deploy/systemd/install.sh", "/src/deploy/systemd/uninstall.sh"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Path]:
    required.root()
    required.program("debootstrap")
    images = Images(tmp_path)
    images.build_stand_in("localhost/machine")
    yield images.mounted("localhost/machine")
    images.remove()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# One test, since a machine takes a minute to make.
def test_installing_twice_changes_nothing_that_is_the_users_and_uninstalling_keeps_it(machine: Path) -> None:
    config, state, opt = machine / "etc/collector", machine / "var/lib/collector", machine / "opt/edr-collector"

    said = administer(machine, SOURCE, INSTALL)
    assert "systemctl enable --now collector" in said
    assert administer(machine, SOURCE, "collector", "--version") == f"edr-collector {__version__}\n"
    assert (mode(config), mode(config / "collector.yaml"), mode(config / "credentials")) == (0o750, 0o640, 0o700)
    unit = machine / "etc/systemd/system/collector.service"
    assert unit.read_text() == (SOURCE / "deploy/systemd/collector.service").read_text()
    assert "edr-collector:" in (machine / "etc/passwd").read_text()

    (config / "collector.yaml").write_text("mine")
    (config / "credentials" / "withsecure").write_text("secret")
    state.mkdir()
    (state / "collector.db").write_text("events")
    administer(machine, SOURCE, INSTALL)
    assert (config / "collector.yaml").read_text() == "mine"
    assert len(list((opt / "versions").iterdir())) == 1
    assert administer(machine, SOURCE, "collector", "--version") == f"edr-collector {__version__}\n"

    administer(machine, SOURCE, UNINSTALL)
    assert not opt.exists()
    assert not unit.exists()
    assert not (machine / "usr/local/bin/collector").is_symlink()
    assert (config / "collector.yaml").read_text() == "mine"
    assert (config / "credentials" / "withsecure").read_text() == "secret"
    assert (state / "collector.db").read_text() == "events"

    administer(machine, SOURCE, UNINSTALL, "--purge")
    assert not config.exists()
    assert not state.exists()
    assert "edr-collector:" not in (machine / "etc/passwd").read_text()
    administer(machine, SOURCE, UNINSTALL, "--purge")
