"""serverless.yml as text to plain values: YAML with CloudFormation tags, `${…}` variables, intrinsics.

Pure. It knows only the syntax that groupcast's file may use; a ServiceError names anything else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from localcloud.errors import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_VARIABLE_DEPTH = 10

_BOOL = "tag:yaml.org,2002:bool"
_VARIABLE = re.compile(r"\$\{(self|param|typed|derived|opt|env|sls):([^,{}]*)(?:,\s*([^{}]*))?\}")
_SUBSTITUTION = re.compile(r"\$\{([A-Za-z0-9:.]+)\}")


@dataclass(frozen=True, slots=True)
class Variables:
    """The values of `${opt:…}`, `${param:…}` (`${typed:…}` on AWS) and `${env:…}`."""

    stage: str
    region: str
    params: Mapping[str, str]
    environ: Mapping[str, str]


def parse_yaml(text: str) -> dict[str, Any]:
    """The document, with !Ref and the other short tags in their long form. ServiceError for invalid YAML."""
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - _Loader is a SafeLoader
    except yaml.YAMLError as error:
        raise ServiceError(f"not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ServiceError("must be a mapping")
    return document


def resolve_variables(document: dict[str, Any], variables: Variables) -> dict[str, Any]:
    """The document with every `${…}` replaced. ServiceError names one without a value."""
    resolver = _Resolver(document, variables)
    return {key: resolver.value(value) for key, value in document.items()}


def resolve_intrinsics(value: Any, names: Mapping[str, str], where: str) -> Any:
    """A value with Ref, Fn::Sub and Fn::Join replaced by their values on this machine.

    `names` are the values of resources and pseudo parameters; ServiceError for an unknown one.
    """

    def look_up(name: str) -> str:
        if name not in names:
            raise ServiceError(f"{where}: {name} is not a resource that localcloud knows")
        return names[name]

    match value:
        case {"Ref": str(name)}:
            return look_up(name)
        case {"Fn::Sub": str(text)}:
            return _SUBSTITUTION.sub(lambda found: look_up(found[1]), text)
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(str(resolve_intrinsics(part, names, where)) for part in parts)
        case {**members} if any(str(name).startswith("Fn::") for name in members):
            intrinsic = ", ".join(map(str, members))
            raise ServiceError(f"{where}: localcloud does not resolve {intrinsic} here")
        case dict():
            return {key: resolve_intrinsics(inner, names, where) for key, inner in value.items()}
        case list():
            return [resolve_intrinsics(inner, names, where) for inner in value]
    return value


def attribute_owner(value: Any, attribute: str, where: str) -> str:
    """The logical id in `!GetAtt Id.attribute`. ServiceError for anything else."""
    match value:
        case {"Fn::GetAtt": [str(logical_id), str(name)]} if name == attribute:
            return logical_id
    raise ServiceError(f"{where}: must be !GetAtt <resource>.{attribute}")


def referred(value: Any, where: str) -> str:
    """The logical id in `!Ref Id`. ServiceError for anything else."""
    match value:
        case {"Ref": str(logical_id)}:
            return logical_id
    raise ServiceError(f"{where}: must be !Ref <resource>")


class _Loader(yaml.SafeLoader):
    """SafeLoader that knows CloudFormation's short tags and, as Serverless does, only YAML 1.2's booleans."""


def _tag(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    elif isinstance(node, yaml.MappingNode):
        value = loader.construct_mapping(node, deep=True)
    if suffix in ("Ref", "Condition"):
        return {suffix: value}
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _tag)
# Else MfaConfiguration: OFF would be false.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


class _Resolver:
    def __init__(self, document: dict[str, Any], variables: Variables) -> None:
        self._document = document
        self._variables = variables
        stages = document.get("params") or {}
        self._params = {
            **(stages.get("default") or {}),
            **(stages.get(variables.stage) or {}),
            **variables.params,
        }
        unknown = set(variables.params) - set(stages.get("default") or {})
        if unknown:
            raise ServiceError(f"there is no parameter {', '.join(sorted(unknown))}")

    def value(self, value: Any, depth: int = 0) -> Any:
        if isinstance(value, dict):
            return {key: self.value(inner, depth) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.value(inner, depth) for inner in value]
        if not isinstance(value, str):
            return value
        if depth > MAX_VARIABLE_DEPTH:
            raise ServiceError(f"{value!r} refers to itself")
        whole = _VARIABLE.fullmatch(value)
        if whole:
            return self.value(self._look_up(whole), depth + 1)
        replaced = _VARIABLE.sub(lambda found: str(self._look_up(found)), value)
        return replaced if replaced == value else self.value(replaced, depth + 1)

    def _look_up(self, found: re.Match[str]) -> Any:
        source, name, default = found[1], found[2].strip(), found[3]
        known: dict[str, Mapping[str, Any]] = {
            "param": self._params,
            "typed": self._params,
            "derived": {"actions": ", ".join(self._actions())},
            "opt": {"stage": self._variables.stage, "region": self._variables.region},
            "env": self._variables.environ,
            "sls": {"stage": self._variables.stage},
        }
        result = self._self(name) if source == "self" else known[source].get(name)
        if result is not None:
            return result
        if default is None:
            raise ServiceError(f"${{{source}:{name}}} has no value")
        return default.strip().strip("'\"")

    def _actions(self) -> list[str]:
        """The routes that a frame can name, as src/groupcast_deploy/derived.js lists them."""
        functions = (self._document.get("functions") or {}).values()
        events = [event for one in functions for event in one.get("events") or []]
        routes = [event["websocket"]["route"] for event in events if "websocket" in event]
        return [route for route in routes if not route.startswith("$")]

    def _self(self, path: str) -> Any:
        value: Any = self._document
        for key in path.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        return value
