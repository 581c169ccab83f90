"""The example that a new user begins with.

Lines that begin with `#` and no space after it are settings to uncomment; every one of them must be valid.
"""

STARTER = """\
# Configuration of the edr-collector. All keys: docs/configuration.md; for editors: `collector schema`.
# Relative paths are relative to this file. Durations: 90s 10m 24h 30d. Sizes: 512KiB 10GiB.
# Secrets: ${env:NAME}, ${file:PATH}, or ${credential:NAME} for a systemd credential.

# One file per customer, each with more `tenants:` and `sinks:`.
#include: [tenants.d/*.yaml]

state:
  # The durable log: everything read that is not delivered yet, and the ids of what was read before.
  path: state/collector.db
  #remember_ids: 30d
  #keep_delivered: 7d
  #max_size: 10GiB

#admin:
  # Status page, /metrics, /livez and /readyz; null: off.
  #listen: 127.0.0.1:9650

#logging: {level: info, format: auto}

# For every source of that type, unless it says otherwise.
#defaults:
  #withsecure: {poll_interval: 60s, start_from: 24h, rate_limit: {requests: 300, per: 60s}}
  #eset: {poll_interval: 60s, start_from: 24h, rate_limit: {requests: 5, per: 1s}}

tenants:
  example:
    # Put on every event of this tenant.
    labels: {customer: Example Corp}
    # With a partner's credentials: which of the vendor's organizations is which tenant.
    #organizations: {"9c1f0000-0000-4000-8000-000000000001": example-north}
    sources:
      - type: withsecure
        client_id: ${env:WITHSECURE_CLIENT_ID}
        client_secret: ${env:WITHSECURE_CLIENT_SECRET}
        #organization_id: 9c1f0000-0000-4000-8000-000000000001
        # How far back the very first poll begins.
        #start_from: 24h
      #- type: eset
        # Where the customer's ESET PROTECT server stands: eu, us, de, ca or jpn.
        #region: eu
        # A dedicated user with the right "Integrations".
        #username: ${env:ESET_USERNAME}
        #password: ${env:ESET_PASSWORD}

sinks:
  archive:
    type: file
    path: events/{tenant}/{date}.ndjson
    format: json
    #route: {tenants: [example], min_severity: low}
"""
