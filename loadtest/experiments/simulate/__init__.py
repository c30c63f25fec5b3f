"""A discrete-event simulation of both ways of delivery, for groups and accounts that no machine here holds.

delays.py      how long each step takes, on AWS and on this machine
setup.py       what is simulated
work.py        messages, passes over them, leftovers
quota.py       the account's token bucket, and the budget that all workers book from
window.py      how many posts a worker has under way
invocation.py  one worker with one batch
stream.py      the Messages table's stream
lanes.py       DeliveryQueue and its workers
retries.py     RetryQueue and its workers
cell.py        one account: what its workers share
delivery.py    from sendMessage to the passes over a cell's members
simulation.py  from a setup to an outcome
pricing.py     what an outcome costs
report.py      outcomes as a table, CSV, JSON, HTML
command.py     `python -m loadtest simulate`

Posts are simulated in chunks: a message to a million members is some thousand events.
"""

from loadtest.experiments.simulate.command import add_arguments, main

__all__ = ["add_arguments", "main"]
