"""What one account can find of its detections at a moment: by time of occurrence, and in order of becoming visible."""

from __future__ import annotations

import heapq

from collector.simulator.eset.accounts import Offer
from collector.simulator.eset.detection import Detection, Version


class Console:
    """The detections of one account, each found only from its `visible_ms` on.

    `order` is the uuids in the order in which they became visible: what a delta follows. A later state of a detection
    takes the place of the earlier one and is nothing new to a delta.
    """

    def __init__(self) -> None:
        self.order: list[str] = []
        self.current: dict[str, Detection] = {}
        self._hidden: list[tuple[int, int, Detection]] = []
        self._put = 0

    def put(self, detection: Detection) -> None:
        """Lay the detection in; `reveal` brings it into sight."""
        self._put += 1
        heapq.heappush(self._hidden, (detection.visible_ms, self._put, detection))

    def reveal(self, now_ms: int) -> None:
        """Bring into sight all that has become visible by `now_ms`."""
        while self._hidden and self._hidden[0][0] <= now_ms:
            detection = heapq.heappop(self._hidden)[2]
            if detection.key not in self.current:
                self.order.append(detection.key)
            self.current[detection.key] = detection

    def listed(self, version: Version, offer: Offer, start_us: int | None, end_us: int | None) -> list[Detection]:
        """What a list shows of [start, end) of occurTime, oldest first."""
        found = [
            each
            for each in self.current.values()
            if in_list(each, version, offer)
            and (start_us is None or each.occur_ms * 1000 >= start_us)
            and (end_us is None or each.occur_ms * 1000 < end_us)
        ]
        return sorted(found, key=lambda each: (each.occur_ms, each.key))

    def since(self, position: int, version: Version, offer: Offer) -> list[Detection]:
        """What a delta shows of all that became visible from that place in `order` on."""
        found = (self.current[key] for key in self.order[position:])
        return [each for each in found if in_delta(each, version, offer)]


def in_list(detection: Detection, version: Version, offer: Offer) -> bool:
    """Whether the list of that version shows the detection, if the tenant has the list."""
    if detection.view(version) is None:
        return False
    return version == "v1" or offer.v2_shows == "all" or detection.v1 is None


def in_delta(detection: Detection, version: Version, offer: Offer) -> bool:
    """Whether the delta of that version shows the detection, if the tenant has the delta."""
    if detection.view(version) is None:
        return False
    if version == "v1":
        return offer.v1_delta_shows == "all" or not detection.inspect
    return offer.v2_shows == "all" or detection.v1 is None or detection.inspect


def findable(detection: Detection, offer: Offer) -> bool:
    """Whether a reader can find the detection with what the tenant has at all."""
    return (
        (offer.v1 == 200 and in_list(detection, "v1", offer))
        or (offer.v2 == 200 and in_list(detection, "v2", offer))
        or (offer.v1_delta == 200 and in_delta(detection, "v1", offer))
        or (offer.v2_delta == 200 and in_delta(detection, "v2", offer))
    )
