"""A discrete-event simulation of both delivery modes, for groups too large for one machine.

delays.py      how long each step takes, on AWS and on this machine
setup.py       the parameters of a simulation
work.py        messages, passes and leftovers
quota.py       the account's token bucket, and the budget of all workers
window.py      a worker's window of concurrent posts
invocation.py  one worker with one batch
stream.py      the Messages table's stream
lanes.py       DeliveryQueue and its workers
retries.py     RetryQueue and its workers
cell.py        one account: the state that its workers share
delivery.py    from sendMessage to the passes over a cell's members
simulation.py  from a setup to an outcome
pricing.py     the cost of an outcome
report.py      outcomes as a table, CSV, JSON, HTML
command.py     `python -m loadtest simulate`

Posts are simulated in chunks, so that a message to a million members takes a few thousand events.
"""

from loadtest.experiments.simulate.command import add_arguments, main

__all__ = ["add_arguments", "main"]
