"""Event source mappings from DynamoDB Local's streams to functions, as in Lambda.

Pure:
filters.py      event patterns: the records that reach a function
records.py      converts records of the streams API to Lambda's event records
batching.py     forms batches and decides their retries
discards.py     the failure destination's document about discarded records

With I/O and clock:
delayqueue.py   passes items on in order, each when it is due
lane.py         invokes the function with one sequence of records, retries, discards
shard.py        reads one shard into its lanes
mapping.py      Mapping: reads the shards of one stream, parents before children
mappings.py     StreamMappings: all mappings of a service
"""

from localcloud.eventsources.streams.mappings import StreamMappings
from localcloud.eventsources.streams.settings import POLL_INTERVAL_S, StreamSettings

__all__ = ["POLL_INTERVAL_S", "StreamMappings", "StreamSettings"]
