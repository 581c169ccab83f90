from __future__ import annotations

from collector.http import Egress
from collector.sources.egress import egress_of
from collector.sources.withsecure.config import WithSecureConfig

ACCOUNT = {"client_id": "fusion_1", "client_secret": "canary-secret"}


def test_requests_leave_the_way_that_was_configured() -> None:
    keys = {"tls": {"verify": False}, "egress": {"local_address": "192.0.2.7", "proxy": "http://u:p@gate:1"}}
    source = WithSecureConfig.model_validate({**ACCOUNT, **keys})

    assert egress_of(source) == Egress(verify=False, proxy="http://u:p@gate:1", local_address="192.0.2.7")
    assert egress_of(WithSecureConfig.model_validate({**ACCOUNT, "proxy": "http://gate:1"})).proxy == "http://gate:1"
    assert egress_of(WithSecureConfig.model_validate(ACCOUNT)) == Egress()
