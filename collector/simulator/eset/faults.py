"""The names of all faults of the simulated ESET Connect; `collector.simulator.faults` makes them strike."""

from __future__ import annotations

from collections.abc import Mapping

# In place of an answer; act on the token endpoint as well when `on_login` is set.
OUTAGES: Mapping[str, str] = {
    "reset": "the connection is reset before an answer",
    "hung": "nothing comes for `seconds`, then the connection is reset",
    "http_500": "500 with an HTML body",
    "http_502": "502 with an HTML body",
    "http_503": "503 with an HTML body",
    "http_504": "504 with an empty body",
    "json_500": "500 with the JSON of a gRPC status",
    "html_200": "200 with an HTML body",
    "throttled_seconds": "429 with Retry-After in seconds",
    "throttled_date": "429 with Retry-After as an HTTP date",
    "throttled_bare": "429 without Retry-After",
}
# At the token endpoint alone.
LOGINS: Mapping[str, str] = {
    "login_403": "403 without a request-id",
    "login_500": "500 with an empty body",
    "login_503": "503 with an empty body",
    "login_pending": "202 with a response-id, to be asked again",
    "login_slow": "`seconds` pass before the answer",
}
# In place of an answer to a data request that is logged in.
REFUSALS: Mapping[str, str] = {
    "unauthorized": "401, every access token of the account is taken back",
    "forbidden": "403, the account lacks rights or product",
    "stale_page_token": "400 on a page token: the vendor no longer takes it",
    "stale_delta_token": "400 on a delta token, which is dead from then on",
}
# The 202 protocol.
PENDING: Mapping[str, str] = {
    "pending": "202 with a response-id; the answer is ready after `seconds`",
    "pending_cut": "the connection ends within such a 202, after its headers",
    "pending_again": "one more 202 to one that asks for its answer, with a new response-id",
    "pending_504": "504 to one that asks for its answer, which is lost",
    "pending_gone": "404 to one that asks for its answer, which is lost",
    "pending_lost": "the answer comes, the connection is cut in its body, and it is deleted as fetched",
}
# A page that is readable, but not as one hopes.
ODD_PAGES: Mapping[str, str] = {
    "duplicate_in_page": "some records stand twice in the page",
    "empty_page": "no records, but a page token that goes on",
    "repeated_token": "nextPageToken is the token that was sent",
}
# What happens to a good answer on its way.
DAMAGES: Mapping[str, str] = {
    "truncated": "the JSON ends early, Content-Length agrees",
    "cut": "Content-Length promises more than comes before the connection ends",
}
# May come with any answer.
TIMINGS: Mapping[str, str] = {
    "slow": "`seconds` pass before the answer",
    "date_wrong": "the Date header is `seconds` off",
    "date_missing": "there is no Date header",
}
NAMES = frozenset({*OUTAGES, *LOGINS, *REFUSALS, *PENDING, *ODD_PAGES, *DAMAGES, *TIMINGS})

# A bad day at the vendor's, which a client must get through: what demos and tests switch on together.
BAD_DAY: Mapping[str, float] = {
    "unauthorized": 0.02,
    "throttled_seconds": 0.01,
    "throttled_date": 0.01,
    "throttled_bare": 0.01,
    "http_500": 0.01,
    "http_502": 0.01,
    "http_503": 0.01,
    "http_504": 0.01,
    "json_500": 0.01,
    "html_200": 0.01,
    "truncated": 0.02,
    "cut": 0.02,
    "reset": 0.02,
    "slow": 0.05,
    "login_pending": 0.05,
    "login_503": 0.05,
    "pending": 0.04,
    "pending_cut": 0.1,
    "pending_again": 0.2,
    "pending_504": 0.1,
    "pending_gone": 0.1,
    "pending_lost": 0.1,
    "duplicate_in_page": 0.05,
    "empty_page": 0.03,
    "repeated_token": 0.02,
    "stale_page_token": 0.02,
    "stale_delta_token": 0.005,
}
