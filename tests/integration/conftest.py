"""Real servers and what they need."""

from __future__ import annotations

import pytest

from tests.integration.certificates import Certificates, make_certificates
from tests.integration.required import program


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    program("openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates"))
