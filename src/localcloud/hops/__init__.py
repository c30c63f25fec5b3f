"""Delays events and posts to AWS's latencies between services (`groupcast up --hops`).

profile.py   the dated table of hop latencies and their distributions
delays.py    delays events and posts by the difference to AWS
"""

from localcloud.hops.delays import HopDelays
from localcloud.hops.profile import AWS, Hop, HopProfile

__all__ = ["AWS", "Hop", "HopDelays", "HopProfile"]
