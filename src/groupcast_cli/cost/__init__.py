"""What groupcast costs on AWS: `estimate` is the arithmetic, `add_parser` the command `groupcast cost`."""

from groupcast_cli.cost.command import add_parser
from groupcast_cli.cost.estimate import Estimate, Item, estimate
from groupcast_cli.cost.load import Load
from groupcast_cli.cost.model import Traffic
from groupcast_cli.cost.prices import Price, Prices
from groupcast_cli.cost.traffic import traffic_of

__all__ = ["Estimate", "Item", "Load", "Price", "Prices", "Traffic", "add_parser", "estimate", "traffic_of"]
