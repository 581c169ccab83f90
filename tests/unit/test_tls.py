"""Contexts of TLS connections."""

from __future__ import annotations

import ssl

from collector.tls import client_context


def test_context_verifies_and_takes_no_old_protocol() -> None:
    context = client_context()

    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_missing_close_notify_is_not_hidden() -> None:
    assert not client_context().options & ssl.OP_IGNORE_UNEXPECTED_EOF


def test_context_takes_anybody_where_asked() -> None:
    context = client_context(verify=False)

    assert context.verify_mode is ssl.CERT_NONE
    assert not context.check_hostname
