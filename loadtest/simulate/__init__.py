"""A discrete-event simulation of both delivery modes, for groups and accounts that no machine here holds.

delays.py      how long each step takes, on AWS and on this machine, and where each value comes from
setup.py       what is simulated
quota.py       the account's token bucket, and the budget that all workers book from
window.py      how many posts a worker has under way
work.py        messages, what of them a worker is to post, and what is left over
invocation.py  one worker with one batch
stream.py      the Messages table's stream with its shards and lanes
queues.py      DeliveryQueue and RetryQueue
cell.py        one account with its part of the group
simulation.py  from a setup to an outcome
pricing.py     what an outcome costs, by `groupcast cost`'s own arithmetic
report.py      outcomes as a table, CSV, HTML
command.py     `python -m loadtest simulate`

Posts are simulated in chunks: a million members are a few thousand events a message, not a million.
"""

from loadtest.simulate.command import add_arguments, main

__all__ = ["add_arguments", "main"]
