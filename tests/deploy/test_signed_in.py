"""Users of the deployed user pool: who is admitted, and how they chat."""

from __future__ import annotations

import asyncio
import re
import uuid

import pytest
from websockets.exceptions import InvalidStatus

from groupcast_client import Client, ServerError
from tests.contract.peer import Peer
from tests.deploy.bench import Bench
from tests.deploy.guide import deployed_text
from tests.deploy.printed import groupcast_lines, printed_commands, run_printed, say_in_wscat
from tests.deploy.project import Stage
from tests.deploy.users import User, Users

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def users(stage: Stage) -> Users:
    return Users(stage)


def signed_in(stage: Stage, user: User) -> Client:
    """A user's client, with a new token for each connection."""

    async def token() -> str:
        return await asyncio.to_thread(user.token)

    return Client(stage.url, token=token)


async def test_users_of_the_pool_chat(stage: Stage, users: Users) -> None:
    """Two users sign in with passwords and receive each other's messages under their pool names."""
    group = f"group-{uuid.uuid4()}"
    async with signed_in(stage, users.add("amy")) as ann, signed_in(stage, users.add("bob")) as bob:
        await ann.join(group)
        await bob.join(group)
        await ann.send("안녕하세요!")
        await bob.send("hello")
        for client in (ann, bob):
            async with asyncio.timeout(20):
                heard = [await anext(client.messages()) for _ in range(2)]
            assert [(message.sender, message.text) for message in heard] == [
                ("amy", "안녕하세요!"),
                ("bob", "hello"),
            ]


def test_printed_commands_work_when_pasted(stage: Stage) -> None:
    """`groupcast user` prints the line that connects, which runs `groupcast token`. No variable is set."""
    printed = printed_commands(deployed_text(stage.name, stage.emulator.port, stage.url, auth="cognito"))
    user, doctor, failures = groupcast_lines(printed)
    assert "groupcast doctor --stage rehearsal --endpoint-url http://127.0.0.1:" in doctor
    assert doctor.endswith(" --user ann")
    said = run_printed(user)
    password = re.search(r"^  (\S+)$", said, re.MULTILINE)
    assert password is not None
    [wscat] = printed_commands(said)
    answer = say_in_wscat(wscat, '{"action":"ping"}', GROUPCAST_PASSWORD=password[1])
    assert '"type":"pong"' in answer
    assert "stage rehearsal in us-east-1" in run_printed(failures)


async def test_invalid_tokens_are_refused(stage: Stage, users: Users) -> None:
    """A missing token, another pool's and another client's; the last is a known user's and gets 403."""
    eve = users.add("eve")
    elsewhere = User(eve.name, eve.user_id, users.other_client(), eve.cognito)
    statuses = []
    for query in ("", "?token=nonsense", f"?token={elsewhere.token()}"):
        with pytest.raises(InvalidStatus) as caught:
            async with Peer.connect(f"{stage.url}{query}"):
                pass
        statuses.append(caught.value.response.status_code)
    # AWS answers 401 to the first two; the emulator does not emulate an authorizer that raises.
    assert statuses == [500, 500, 403]


async def test_a_private_group_is_for_its_members(stage: Stage, users: Users) -> None:
    """Members of the pool's group of that name may join; others get Forbidden."""
    group = f"private-{uuid.uuid4().hex[:8]}"
    member, other = users.add("member", group), users.add("other")
    async with signed_in(stage, member) as inside, signed_in(stage, other) as outside:
        assert await inside.join(group) == 0
        with pytest.raises(ServerError) as caught:
            await outside.join(group)
        assert caught.value.code == "Forbidden"


async def test_an_expired_connection_is_closed(stage: Stage, users: Users, bench: Bench) -> None:
    """A renewed connection stays; an expired one receives nothing more, and its next message closes it."""
    group = f"group-{uuid.uuid4()}"
    ada, bea = users.add("ada"), users.add("bea")
    async with (
        Peer.connect(f"{stage.url}?token={ada.token()}") as stays,
        Peer.connect(f"{stage.url}?token={bea.token('IdToken')}") as goes,
    ):
        for peer in (stays, goes):
            await peer.join(group)
        renewed = await stays.ask({"action": "renew", "token": ada.token()}, "renewed")
        assert renewed["groupId"] == group
        bench.expire((await goes.ask({"action": "ping"}, "pong"))["connectionId"])
        await stays.say("are you there?")
        assert (await stays.messages(1))[0]["message"] == "are you there?"
        assert await goes.closed_with() in (1000, 1001)
