"""ESET Connect on loopback; `simulator.py` says what it does."""

from collector.simulator.eset.accounts import HARBOUR, EsetAccount, Offer
from collector.simulator.eset.cloud import DetectionDrip
from collector.simulator.eset.detection import Detection
from collector.simulator.eset.detections import DetectionMix
from collector.simulator.eset.faults import BAD_DAY
from collector.simulator.eset.gateway import FairUse
from collector.simulator.eset.simulator import EsetSimulator, Origins

__all__ = [
    "BAD_DAY",
    "HARBOUR",
    "Detection",
    "DetectionDrip",
    "DetectionMix",
    "EsetAccount",
    "EsetSimulator",
    "FairUse",
    "Offer",
    "Origins",
]
