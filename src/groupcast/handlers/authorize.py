"""The authorizer of $connect: decides who a connection is, before there is one."""

from __future__ import annotations

import os
from typing import Any

from groupcast.auth import guest_name
from groupcast.settings import read_settings


def handler(event: dict[str, Any], _context: Any) -> dict[str, Any]:
    """Allow the connection and name its sender (AWS: output of a Lambda authorizer).

    Where nobody signs in, the sender is what `?name=` asks for. SettingsError where AUTH is unknown: a stage
    that is misconfigured lets nobody in.
    """
    read_settings(os.environ)
    query = event.get("queryStringParameters") or {}
    sender = guest_name(query.get("name"), event["requestContext"]["connectionId"])
    return {
        "principalId": sender,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
            ],
        },
        "context": {"sender": sender},
    }
