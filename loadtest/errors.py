"""The exceptions of the load test.

LoadTestError           the run can't go on; exit code 1
├── ScenarioError       wrong options or an impossible load; exit code 2
├── ConnectError        a connection was refused, or its handshake failed
└── WorkerError         a worker process ended unexpectedly
"""

from __future__ import annotations


class LoadTestError(Exception):
    """Base of all. Its text is a sentence for the person who started the run."""


class ScenarioError(LoadTestError):
    pass


class ConnectError(LoadTestError):
    pass


class WorkerError(LoadTestError):
    pass
