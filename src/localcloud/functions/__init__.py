"""Runs the service's functions in execution environments like Lambda's, behind `localcloud.invoking.Invoker`.

pool.py         Environments: processes that serve invocations, started when needed
capacity.py     limits the environments and decides which function gets the next one
environment.py  the parent's end of one environment's socket
forker.py       starts the zygote process and asks it for forks and kills
zygote.py       the process that has imported the libraries and forks the environments
runtime.py      an environment's loop: read an event, call the handler, reply
handling.py     calling a handler: errors, results and context in Lambda's shapes
log.py          the functions' log, which survives a full disk
in_process.py   InProcess: the same functions in threads of this process, for a debugger
"""

from localcloud.functions.capacity import PoolStatus
from localcloud.functions.in_process import InProcess
from localcloud.functions.pool import Environments

__all__ = ["Environments", "InProcess", "PoolStatus"]
