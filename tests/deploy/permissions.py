"""Permissions of deployed functions, one action on one resource at a time, and their removal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from typing import Any

from tests.deploy.project import SERVICE, Stage

Statement = dict[str, Any]


@dataclass(frozen=True, slots=True, order=True)
class Grant:
    """A function may do `action` on `target`: a resource's name without service, stage and API."""

    function: str
    action: str
    target: str

    def __str__(self) -> str:
        return f"{self.function} {self.action} {self.target}"


class Roles:
    """The roles of a stage's functions in IAM."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self._iam = stage.emulator.client("iam")
        pages = stage.emulator.client("lambda").get_paginator("list_functions").paginate()
        prefix = stage.resource("")
        self.by_function: dict[str, str] = {
            function["FunctionName"].removeprefix(prefix): function["Role"].rpartition("/")[2]
            for page in pages
            for function in page["Functions"]
            if function["FunctionName"].startswith(prefix)
        }

    def grants(self) -> set[Grant]:
        """All grants of the functions; AssertionError if a policy is not the role's own."""
        found: set[Grant] = set()
        for function, role in self.by_function.items():
            assert not self._iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"], role
            for _, statements in self._policies(role):
                found |= {self._grant(function, statement) for statement in statements}
        return found

    @contextmanager
    def without(self, grant: Grant) -> Iterator[None]:
        """Remove a grant, and restore it at the end."""
        role = self.by_function[grant.function]
        before = self._policies(role)
        try:
            for name, statements in before:
                kept = [one for one in statements if self._grant(grant.function, one) != grant]
                self._put(role, name, kept)
            yield
        finally:
            for name, statements in before:
                self._put(role, name, statements)

    def target(self, resource: str) -> str:
        """A resource's ARN, or "*", as Grant names it."""
        name = resource.split(":", 5)[-1]
        name = name.removeprefix("table/").removeprefix(f"{self.stage.api_id}/{self.stage.name}/")
        name = name.removeprefix(f"{SERVICE}-{self.stage.name}-")
        return re.sub(r"(/stream/|/@connections/).*", r"\1*", name)

    def decided(self) -> int:
        """The number of decisions so far."""
        return len(self.stage.emulator.decisions())

    def used(self, function: str) -> set[Grant]:
        """The actions that a function used and was allowed."""
        return {
            Grant(function, decision.action, self.target(decision.resource))
            for decision in self.stage.emulator.decisions()
            if decision.role == self.by_function[function] and decision.allowed
        }

    def denied(self, function: str, since: int) -> set[Grant]:
        """The actions that a function was denied after `since` decisions."""
        return {
            Grant(function, decision.action, self.target(decision.resource))
            for decision in self.stage.emulator.decisions(since)
            if decision.role == self.by_function[function] and not decision.allowed
        }

    def _policies(self, role: str) -> list[tuple[str, list[Statement]]]:
        """A role's policies by name, each with one statement for one action on one resource."""
        found = []
        for name in self._iam.list_role_policies(RoleName=role)["PolicyNames"]:
            document = self._iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
            found.append((name, [part for statement in document["Statement"] for part in _parts(statement)]))
        return found

    def _put(self, role: str, name: str, statements: list[Statement]) -> None:
        document = {"Version": "2012-10-17", "Statement": statements}
        self._iam.put_role_policy(RoleName=role, PolicyName=name, PolicyDocument=json.dumps(document))

    def _grant(self, function: str, statement: Statement) -> Grant:
        return Grant(function, statement["Action"], self.target(statement["Resource"]))


def _parts(statement: Statement) -> list[Statement]:
    actions, resources = _listed(statement["Action"]), _listed(statement["Resource"])
    return [
        {**statement, "Action": action, "Resource": resource}
        for action, resource in product(actions, resources)
    ]


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
