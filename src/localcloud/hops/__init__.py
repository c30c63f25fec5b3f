"""How long AWS takes between the parts that run side by side here (`groupcast up --hops`).

profile.py   the dated table of hops, and the distribution fitted to each
delays.py    what holds events and posts back for as long as a hop lacks
"""

from localcloud.hops.delays import HopDelays
from localcloud.hops.profile import AWS, Hop, HopProfile

__all__ = ["AWS", "Hop", "HopDelays", "HopProfile"]
