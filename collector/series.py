"""The numbers that every feed has, in one row a feed: as objects of their own they cost more than a quiet tenant else.

A family looks like one of prometheus_client's: `family.labels(tenant=..., source=..., feed=...)` gives a number with
`inc` and `set`. A number that nobody declared or touched is not served.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import isnan, nan
from typing import Literal

from prometheus_client import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

Kind = Literal["counter", "gauge"]
_Row = tuple[str, ...]


@dataclass(eq=False, slots=True)
class Number:
    """One number of one row."""

    row: array[float]
    column: int

    def inc(self, amount: float = 1.0) -> None:
        """Count so many more."""
        before = self.row[self.column]
        self.row[self.column] = amount if isnan(before) else before + amount

    def set(self, value: float) -> None:
        """Know it anew."""
        self.row[self.column] = value


class Family:
    """One number of every row, or one for each combination of further labels."""

    def __init__(
        self, rows: Rows, name: str, documentation: str, kind: Kind, first: int, further: Mapping[str, Sequence[str]]
    ) -> None:
        self.name = name
        self.kind = kind
        self.labelnames = (*rows.labelnames, *further)
        self._documentation = documentation
        self._rows = rows
        self._further = tuple(further)
        self._columns = {values: first + place for place, values in enumerate(product(*further.values()))}

    @property
    def columns(self) -> Mapping[tuple[str, ...], int]:
        """Where its numbers stand in a row, by the values of the further labels."""
        return self._columns

    def labels(self, **labels: str) -> Number:
        """The number with these labels, all of them."""
        further = tuple([labels.pop(name) for name in self._further])
        return Number(self._rows.row(**labels), self._columns[further])

    def collect(self, rows: Sequence[tuple[_Row, array[float]]]) -> Metric:
        """What is served of it."""
        metric = Metric(self.name, self._documentation, self.kind)
        metric.samples = list(self._samples(rows))
        return metric

    def _samples(self, rows: Sequence[tuple[_Row, array[float]]]) -> Iterator[Sample]:
        name = f"{self.name}_total" if self.kind == "counter" else self.name
        for key, row in rows:
            for further, column in self._columns.items():
                if not isnan(value := row[column]):
                    yield Sample(name, dict(zip(self.labelnames, (*key, *further), strict=True)), value)


class Rows(Collector):
    """Families with these labels in common; `declare` and `forget` rows of theirs."""

    def __init__(self, labelnames: tuple[str, ...]) -> None:
        self.labelnames = labelnames
        self.families: list[Family] = []
        self._width = 0
        self._rows: dict[_Row, array[float]] = {}

    def family(self, name: str, documentation: str, kind: Kind, further: Mapping[str, Sequence[str]]) -> Family:
        """One more family; to be made before the first row is."""
        made = Family(self, name, documentation, kind, self._width, further)
        self._width += len(made.columns)
        self.families.append(made)
        return made

    def row(self, **labels: str) -> array[float]:
        """The numbers of this row, which may well have none yet."""
        key = tuple([labels[name] for name in self.labelnames])
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = array("d", [nan]) * self._width
        return row

    def forget(self, **labels: str) -> None:
        """Let go of every row that carries all of these labels; who still holds a number of it counts for nobody."""
        wanted = [(self.labelnames.index(name), value) for name, value in labels.items()]
        gone = [key for key in self._rows if all(key[place] == value for place, value in wanted)]
        for key in gone:
            del self._rows[key]

    def collect(self) -> Iterator[Metric]:
        """As prometheus_client asks for it, which may be in another thread."""
        rows = list(self._rows.items())
        for family in self.families:
            yield family.collect(rows)
