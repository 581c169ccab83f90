"""The edr-collector: security events out of EDR vendors' cloud APIs, once each, into the SIEM."""

__version__ = "0.1.0"
