"""The user pool from its administrator's view."""

from __future__ import annotations

import uuid
from typing import Any

from groupcast_cli.signin import sign_in
from tests.conftest import Stack

PASSWORD = "a-Password-of-2026"


class Pool:
    """Creates and deletes users. `cognito` is boto3's client."""

    def __init__(self, stack: Stack, cognito: Any) -> None:
        self._stack = stack
        self._cognito = cognito

    def new_group(self) -> str:
        name = f"private-{uuid.uuid4()}"
        self._cognito.create_group(UserPoolId=self._stack.user_pool_id, GroupName=name)
        return name

    def new_user(self, group: str) -> str:
        """Create a user in a group and return the name."""
        name = f"gus-{uuid.uuid4()}"
        who = self._who(name)
        self._cognito.admin_create_user(**who, MessageAction="SUPPRESS")
        self._cognito.admin_set_user_password(**who, Password=PASSWORD, Permanent=True)
        self._cognito.admin_add_user_to_group(**who, GroupName=group)
        return name

    def delete_user(self, name: str) -> None:
        self._cognito.admin_delete_user(**self._who(name))

    def take_out(self, name: str, group: str) -> None:
        self._cognito.admin_remove_user_from_group(**self._who(name), GroupName=group)

    def token(self, name: str) -> str:
        """Sign in a user created here. ClientError if the pool refuses."""
        return sign_in(self._stack.cognito_url, self._stack.client_id, name, PASSWORD).access

    def _who(self, name: str) -> dict[str, str]:
        return {"UserPoolId": self._stack.user_pool_id, "Username": name}
