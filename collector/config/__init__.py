"""The configuration: read from YAML, checked as a whole, frozen."""

from collector.config.load import load_config
from collector.config.model import AdminConfig, Config, LoggingConfig, StateConfig, TenantConfig
from collector.config.schema import config_schema

__all__ = [
    "AdminConfig",
    "Config",
    "LoggingConfig",
    "StateConfig",
    "TenantConfig",
    "config_schema",
    "load_config",
]
