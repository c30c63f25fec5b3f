"""What groupcast costs on AWS: `estimate` is the arithmetic, `add_parser` the command `groupcast cost`."""

from groupcast_deploy.cost.command import add_parser
from groupcast_deploy.cost.estimate import Estimate, Item, estimate
from groupcast_deploy.cost.load import Load
from groupcast_deploy.cost.model import Traffic
from groupcast_deploy.cost.prices import Price, Prices
from groupcast_deploy.cost.traffic import traffic_of

__all__ = ["Estimate", "Item", "Load", "Price", "Prices", "Traffic", "add_parser", "estimate", "traffic_of"]
