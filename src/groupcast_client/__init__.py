"""An asyncio client for the chat: reconnects, resumes, and delivers each message once, in order.

async with Client("ws://127.0.0.1:3001", name="ann") as client:
    await client.join("group1")
    await client.send("hello")
    async for message in client.messages():
        print(message.seq, message.sender, message.text)

Several groups on one connection:

async with Client("ws://127.0.0.1:3001", name="ann") as client:
    async with client.group("group1") as one, client.group("group2", since=7) as two:
        await one.send("hello")
        async for message in two:
            print(message.seq, message.sender, message.text)
"""

from groupcast_client.backoff import Backoff
from groupcast_client.client import Client
from groupcast_client.credential import TokenProvider
from groupcast_client.errors import ConnectionLost, GroupcastError, NoToken, Refused, ServerError, TooLarge
from groupcast_client.group import Group
from groupcast_client.model import Ack, HistoryPage, Limits, Message, Void
from groupcast_client.ordering import GroupLog

__all__ = [
    "Ack",
    "Backoff",
    "Client",
    "ConnectionLost",
    "Group",
    "GroupLog",
    "GroupcastError",
    "HistoryPage",
    "Limits",
    "Message",
    "NoToken",
    "Refused",
    "ServerError",
    "TokenProvider",
    "TooLarge",
    "Void",
]
