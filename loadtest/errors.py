"""Everything the load test raises.

LoadTestError           the run can't go on; exit code 1
├── ScenarioError       no such load exists; exit code 2
├── ConnectError        a connection was refused, or its handshake broke
└── WorkerError         a load-generating process ended by itself
"""

from __future__ import annotations


class LoadTestError(Exception):
    """Base of all; its text is a sentence for the person who started the run."""


class ScenarioError(LoadTestError):
    pass


class ConnectError(LoadTestError):
    pass


class WorkerError(LoadTestError):
    pass
