"""Runs the service's functions as Lambda runs execution environments, behind `localcloud.invoking.Invoker`.

pool.py         Environments: processes that serve invocations, started when needed
capacity.py     who may have how many of them, and whose is given up for whom
environment.py  one environment, as this side of its socket sees it
forker.py       starts the zygote process and asks it for forks and kills
zygote.py       the process that has the libraries imported already and forks the environments
runtime.py      what runs in an environment: read an event, call the handler, reply
handling.py     calling a handler: errors, results and context in Lambda's shapes
log.py          where functions write, and what becomes of it on a full disk
in_process.py   InProcess: the same functions in threads of this process, for a debugger
"""

from localcloud.functions.capacity import PoolStatus
from localcloud.functions.in_process import InProcess
from localcloud.functions.pool import Environments

__all__ = ["Environments", "InProcess", "PoolStatus"]
