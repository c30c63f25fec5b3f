"""A gateway under a base path, as behind a custom domain."""

from __future__ import annotations

import asyncio

import boto3
import pytest
from websockets.exceptions import InvalidStatus

from groupcast.aws.credentials import CredentialsProvider
from groupcast.aws.management import ManagementClient, Outcome
from groupcast.aws.sigv4 import Credentials
from localcloud.gateway import Gateway
from tests.unit.localcloud.gateway.support import ROUTES, Functions, dial, service

# All characters that API Gateway accepts besides letters and digits.
BASE_PATH = "v1$-_.+!*'()"
# Ids end with `=`, which is sent percent-encoded.
NOBODY = "L0SM9cOFvHcCIhw="


class Provider(CredentialsProvider):
    async def ready(self) -> None:
        pass

    def current(self) -> Credentials:
        return Credentials("test", "test")


async def test_clients_and_functions_reach_it() -> None:
    """Our own client posts and disconnects like botocore; the path without base path still works."""
    functions = Functions()
    async with Gateway(service(*ROUTES), functions, base_path=BASE_PATH) as gateway:
        endpoint = f"http://127.0.0.1:{gateway.port}/{BASE_PATH}"
        ours = ManagementClient(endpoint, "eu-central-1", Provider(), max_connections=1)
        boto = boto3.client(
            "apigatewaymanagementapi",
            endpoint_url=endpoint,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        for number, path in enumerate((f"/{BASE_PATH}?name=ann", f"/{BASE_PATH}/", "/dev"), start=1):
            async with dial(gateway, path) as client:
                event = await functions.called("connect", number)
                connection_id = event["requestContext"]["connectionId"]
                assert (await (await ours.batch(b"ours")).post(connection_id)).outcome is Outcome.ACCEPTED
                await asyncio.to_thread(boto.post_to_connection, ConnectionId=connection_id, Data=b"boto's")
                assert [await client.recv(), await client.recv()] == ["ours", "boto's"]
                assert (await (await ours.batch(b"ours")).post(NOBODY)).outcome is Outcome.GONE
                assert (await ours.delete(connection_id)).outcome is Outcome.ACCEPTED
                await client.wait_closed()
        await ours.close()
        boto.close()


async def test_another_path_leads_nowhere() -> None:
    """Neither connects nor posts reach anything."""
    async with Gateway(service(*ROUTES), Functions(), base_path="team") as gateway:
        with pytest.raises(InvalidStatus) as caught:
            async with dial(gateway, "/other"):
                pass
        assert caught.value.response.status_code == 403
        endpoint = f"http://127.0.0.1:{gateway.port}/other"
        client = ManagementClient(endpoint, "eu-central-1", Provider(), max_connections=1)
        assert (await (await client.batch(b"")).post(NOBODY)).status == 404
        await client.close()
