"""The calculator uses the deployed settings."""

from __future__ import annotations

from groupcast_cli.cost import Load, lanes, model, stream
from groupcast_cli.cost.estimate import CONNECTION_MB, FANOUT_MB, MESSAGE_MB, PING_MB
from groupcast_client import Limits
from localcloud.service.template import parse_yaml
from tests.conftest import ROOT


def test_it_has_the_numbers_of_serverless_yml() -> None:
    """Memory, lanes, batches, window, frames and budget: a change changes the bill."""
    service = parse_yaml((ROOT / "serverless.yml").read_text())
    fanout = service["functions"]["fanoutMessage"]
    from_stream, from_queue = fanout["events"][0]["stream"], fanout["events"][1]["sqs"]
    parameters = service["params"]["default"]
    queue = service["resources"][0]["Resources"]["DeliveryQueue"]["Properties"]
    assert fanout["memorySize"] == FANOUT_MB
    memory_mb = {
        name: one.get("memorySize", service["provider"]["memorySize"])
        for name, one in service["functions"].items()
    }
    assert memory_mb["sendMessage"] == MESSAGE_MB
    assert memory_mb["ping"] == PING_MB
    connecting = ("authorize", "connect", "joinGroup", "disconnect")
    assert tuple(memory_mb[name] for name in connecting) == CONNECTION_MB
    assert from_stream["parallelizationFactor"] == model.LANES_PER_SHARD
    assert from_stream["batchSize"] == model.BATCH_RECORDS
    assert from_stream["maximumRecordAgeInSeconds"] == stream.LONGEST_WAIT_S
    assert int(parameters["postWindow"]) == model.POST_WINDOW
    assert int(parameters["frameBytes"]) == model.FRAME_BYTES
    assert from_queue["batchSize"] == lanes.BATCH_OFFERS
    assert queue["MessageRetentionPeriod"] == lanes.LONGEST_WAIT_S
    assert parameters["deliveryConcurrency"] == lanes.DELIVERY_CONCURRENCY
    assert int(parameters["membersPerLane"]) == lanes.MEMBERS_PER_LANE
    usual = Load(members=1, messages_per_second=1)
    assert int(parameters["postsPerSecond"]) == usual.budget_per_second
    assert parameters["delivery"] == usual.delivery
    assert int(parameters["requestsPerSecond"]) == model.ROUTE_PER_SECOND
    assert Limits().ping_interval_s == usual.ping_interval_s
