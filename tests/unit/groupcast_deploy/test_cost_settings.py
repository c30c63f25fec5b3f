"""The calculator reckons with what is deployed."""

from __future__ import annotations

from groupcast_deploy.cost import traffic
from groupcast_deploy.cost.estimate import FANOUT_MB, ROUTE_MB
from localcloud.template import parse_yaml
from tests.conftest import ROOT


def test_it_has_the_numbers_of_serverless_yml() -> None:
    """Memory, lanes, batches, window and frames; whoever changes one changes the bill."""
    service = parse_yaml((ROOT / "serverless.yml").read_text())
    fanout = service["functions"]["fanoutMessage"]
    stream = fanout["events"][0]["stream"]
    parameters = service["params"]["default"]
    assert fanout["memorySize"] == FANOUT_MB
    assert service["provider"]["memorySize"] == ROUTE_MB
    assert stream["parallelizationFactor"] == traffic.LANES_PER_SHARD
    assert stream["batchSize"] == traffic.BATCH_RECORDS
    assert stream["maximumRecordAgeInSeconds"] == traffic.LONGEST_WAIT_S
    assert int(parameters["postWindow"]) == traffic.POST_WINDOW
    assert int(parameters["frameBytes"]) == traffic.FRAME_BYTES
