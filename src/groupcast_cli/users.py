"""`groupcast user`: creates a user of a deployed stage, who can sign in at once; no e-mail is sent."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from groupcast.names import name_fault
from groupcast_cli.stage import (
    WSCAT,
    Place,
    Stage,
    StageError,
    add_place,
    add_stage,
    client,
    find_stage,
    one_line,
)
from groupcast_cli.terminal import waiting

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

PASSWORD_CHARACTERS = 16
# These symbols have no meaning for a shell, and do not begin an option.
KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "+.:@_")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a user is `new`, and the `password` if it was set."""

    new: bool
    password: str | None = field(repr=False)


def add_parser(commands: Any) -> None:
    """Add `user` to the subparsers of the `groupcast` command."""
    user = commands.add_parser("user", help="create or change a user of a deployed stage")
    user.add_argument("user", metavar="NAME", help="the user's name, which others see as the sender")
    add_stage(user)
    add_place(user)
    user.add_argument(
        "--group",
        action="append",
        default=[],
        help="add the user to this group of the pool, such as private-team, and create it if it is missing; "
        "may be repeated",
    )
    user.add_argument("--password", help="the password (default: a random one for a new user)")
    user.set_defaults(run=_run)


def put_user(stage: Stage, name: str, groups: Sequence[str], password: str | None) -> Outcome:
    """Create the user, with a random password for None, or change an existing one.

    An existing user keeps the password for None; groups are added, never removed. Raises StageError if the
    name may look like another's, or if the pool's policy or AWS refuses.
    """
    require_name(name)
    pool = {"UserPoolId": stage.user_pool_id}
    user = {**pool, "Username": name}
    with client("cognito-idp", stage.place) as cognito:
        try:
            # Groups may be refused, and that must not leave a user behind.
            for group in groups:
                _make_group(cognito, pool, group)
            outcome = _put(cognito, user, password)
            for group in groups:
                cognito.admin_add_user_to_group(**user, GroupName=group)
        except cognito.exceptions.InvalidPasswordException as error:
            reason = one_line(error.response["Error"]["Message"])
            raise StageError(f"the pool refuses the password: {reason}; give another --password") from None
    return outcome


def require_name(name: str) -> None:
    """Raise StageError with the reason for a name that the gateway refuses; its 403 has no reason."""
    if fault := name_fault(name):
        raise StageError(f"nobody can connect as {name!r}: {fault.text}; choose another user name")


def random_password() -> str:
    """16 characters, with some of each kind that a Cognito pool can require."""
    while True:
        password = "".join(secrets.choice("".join(KINDS)) for _ in range(PASSWORD_CHARACTERS))
        if all(set(kind) & set(password) for kind in KINDS):
            return password


def wscat_line(stage: Stage, name: str) -> str:
    """The command that connects as this user. It asks for the password, which a history would keep."""
    token = f".venv/bin/groupcast token {shlex.quote(name)} {stage.options}"
    return f'{WSCAT} -c "{stage.gateway_url}?token=$({token})"'


def _run(options: argparse.Namespace) -> int:
    groups = list(dict.fromkeys(options.group))
    with waiting(f"looking for stage {options.stage}") as progress:
        stage = find_stage(options.stage, Place.of(options))
        progress.step(f"creating or changing {options.user}")
        outcome = put_user(stage, options.user, groups, options.password)
    print(_text(options.user, stage, outcome, given=options.password is not None))
    if groups:
        print(f"Groups added: {', '.join(groups)}.")
    print(f"\nConnect with this command, which asks for the password:\n\n  {wscat_line(stage, options.user)}")
    return 0


def _make_group(cognito: Any, pool: dict[str, str], group: str) -> None:
    with contextlib.suppress(cognito.exceptions.GroupExistsException):
        cognito.create_group(**pool, GroupName=group)


def _put(cognito: Any, user: dict[str, str], password: str | None) -> Outcome:
    temporary = random_password() if password is None else password
    new = True
    try:
        # With the password, so that one against the policy leaves no user behind.
        cognito.admin_create_user(**user, TemporaryPassword=temporary, MessageAction="SUPPRESS")
    except cognito.exceptions.UsernameExistsException:
        if password is None:
            return Outcome(new=False, password=None)
        new = False
    cognito.admin_set_user_password(**user, Password=temporary, Permanent=True)
    return Outcome(new=new, password=temporary)


def _text(name: str, stage: Stage, outcome: Outcome, *, given: bool) -> str:
    if outcome.password is None:
        return f"{name} was in stage {stage.name} before and keeps the password; --password sets another."
    if not outcome.new:
        return f"{name} was in stage {stage.name} before and now has the password that you gave."
    if given:
        return f"{name} can sign in to stage {stage.name} with the password that you gave."
    return (
        f"{name} can sign in to stage {stage.name} with this password, which is shown only now:\n\n"
        f"  {outcome.password}\n"
    )
