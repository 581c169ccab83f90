"""Which destination of a sink an event goes to, where the destination is a template."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b

from collector.model import Event, StreamId
from collector.pipeline.batching import storable
from collector.pipeline.events import TenantView
from collector.routing import Name, Template

_MOST_CHARS = 200
_HASH_BYTES = 6
_EMPTY = "_"
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)

Tenants = Callable[[str], TenantView]


class Naming:
    """A compiled template; `tenants` gives a tenant's labels and organizations as they are now.

    Names are not empty, at most 200 characters long, and fit to be stored; distinct ones stay distinct. Of `secrets`,
    which are templates that stand in the text too, a name holds a hash alone.
    """

    def __init__(self, text: str, tenants: Tenants, secrets: Sequence[str] = ()) -> None:
        self._template = Template(text)
        self._secrets = [Template(secret) for secret in secrets if secret]
        self._tenants = tenants
        self._names = {part.name for part in self._template.parts if isinstance(part, Name)}
        self._known: dict[StreamId, str | None] = {}

    @property
    def is_constant(self) -> bool:
        """There is one destination, whatever the event."""
        return self._template.is_constant

    @property
    def constant(self) -> str:
        """The name of it; "" where the sink has none."""
        return self._template.render(_stand_in(StreamId("", "", ""), TenantView({}, {})))

    def of_event(self, event: Event) -> str:
        """Where the event goes."""
        text = self._template.render(event)
        for secret in self._secrets:
            plain = secret.render(event)
            if plain:
                text = text.replace(plain, f"#{_digest(plain)}")
        return _fit(text)

    def of_stream(self, stream: StreamId) -> str | None:
        """Where all events of the stream go; None: its pages have to be opened to tell."""
        if stream not in self._known:
            view = self._tenants(stream.tenant)
            by_event = "organization" in self._names
            if view.organizations or view.by_owner:  # then an event's tenant and labels depend on its organization
                by_event |= any(name == "tenant" or name.startswith("label.") for name in self._names)
            self._known[stream] = None if by_event else self.of_event(_stand_in(stream, view))
        return self._known[stream]

    def signature(self, stream: StreamId) -> str:
        """Changes whenever events of the stream may go elsewhere than before."""
        name, view = self.of_stream(stream), self._tenants(stream.tenant)
        if name is not None:
            return _digest(name)
        used = [(label, view.labels.get(label.removeprefix("label."))) for label in sorted(self._names)]
        mapped = sorted((tenant, sorted(labels.items())) for tenant, labels in view.mapped_labels.items())
        parts = (self._template.text, str(stream), used, sorted(view.organizations.items()), mapped)
        return _digest(repr(parts))


def _fit(text: str) -> str:
    if len(text) > _MOST_CHARS:
        text = f"{text[: _MOST_CHARS - 2 * _HASH_BYTES - 1]}-{_digest(text)}"
    return storable(text) or _EMPTY


def _digest(text: str) -> str:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).hexdigest()


def _stand_in(stream: StreamId, view: TenantView) -> Event:
    """Like every event of the stream in all that its name can be made of."""
    return Event(
        uid="",
        id="",
        vendor="",
        product="",
        tenant=stream.tenant,
        labels=view.labels,
        organization_id="",
        organization_name="",
        source=stream.source,
        feed=stream.feed,
        kind="unparsed",
        severity="informational",
        severity_vendor="",
        occurred_at=_NEVER,
        recorded_at=None,
        fetched_at=_NEVER,
        title="",
        fields={},
        flags=(),
        raw=b"",
    )
