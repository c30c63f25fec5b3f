"""Event source mappings from DynamoDB Local's streams to functions, as Lambda makes them.

Without I/O and clock:
filters.py      event patterns: which records a function sees
records.py      a record of the streams API in the shape Lambda puts into events
batching.py     what goes into one invocation, and what follows from its outcome
discards.py     what the failure destination is told of records that were given up

With:
holding.py      hands pages on in order, each not before its time
lane.py         invokes for one sequence of records, retries, gives up
shard.py        reads one shard into its lanes
mapping.py      Mapping: the shards of one stream, parents before children
mappings.py     StreamMappings: all of a service's
"""

from localcloud.eventsources.streams.mappings import StreamMappings
from localcloud.eventsources.streams.settings import POLL_INTERVAL_S, StreamSettings

__all__ = ["POLL_INTERVAL_S", "StreamMappings", "StreamSettings"]
