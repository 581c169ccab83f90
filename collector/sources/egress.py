"""How the requests of a source leave this host."""

from __future__ import annotations

from collector.http import Egress
from collector.sources.config import SourceConfig


def egress_of(config: SourceConfig) -> Egress:
    """What every request of the source is sent with; whose requests count together, `SourceConfig.way_out` says."""
    return Egress(
        ca_file=config.tls.ca_file,
        verify=config.tls.verify,
        proxy=config.proxy or config.egress.proxy,
        local_address=config.egress.local_address,
    )
