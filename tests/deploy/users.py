"""Users of a stage's pool, created by its administrator, who sign in like a page does."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config

from localcloud.service.model import REGION
from tests.deploy.project import Stage

PASSWORD = "Correct-Horse-7-Battery"


@dataclass(frozen=True)
class User:
    """A user who may sign in."""

    name: str
    user_id: str
    client_id: str
    cognito: Any = field(repr=False)

    def token(self, kind: str = "AccessToken") -> str:
        """Sign in and return the token of this kind."""
        answer = self.cognito.initiate_auth(
            ClientId=self.client_id,
            AuthFlow="USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": self.name, "PASSWORD": PASSWORD},
        )
        return str(answer["AuthenticationResult"][kind])


class Users:
    """The pool of a stage."""

    def __init__(self, stage: Stage) -> None:
        self._pool = {"UserPoolId": stage.outputs["UserPoolId"]}
        self._client_id = stage.outputs["UserPoolClientId"]
        self._admin = stage.emulator.client("cognito-idp")
        self._public = boto3.client(
            "cognito-idp",
            endpoint_url=stage.emulator.endpoint,
            region_name=REGION,
            config=Config(signature_version=UNSIGNED),
        )

    def add(self, name: str, *groups: str) -> User:
        """Create a user, in groups of the pool, which are created if missing."""
        named = {**self._pool, "Username": name}
        made = self._admin.admin_create_user(**named, MessageAction="SUPPRESS")["User"]
        self._admin.admin_set_user_password(**named, Password=PASSWORD, Permanent=True)
        known = {group["GroupName"] for group in self._admin.list_groups(**self._pool)["Groups"]}
        for group in groups:
            if group not in known:
                self._admin.create_group(**self._pool, GroupName=group)
            self._admin.admin_add_user_to_group(**named, GroupName=group)
        attributes = {one["Name"]: one["Value"] for one in made["Attributes"]}
        return User(name, attributes["sub"], self._client_id, self._public)

    def other_client(self) -> str:
        """The id of another client of the pool, whose tokens the stage refuses."""
        made = self._admin.create_user_pool_client(
            **self._pool, ClientName="other", ExplicitAuthFlows=["ALLOW_USER_PASSWORD_AUTH"]
        )
        return str(made["UserPoolClient"]["ClientId"])
