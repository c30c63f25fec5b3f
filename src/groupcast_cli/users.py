"""`groupcast user`: makes someone who can sign in to a deployed stage at once; no e-mail is sent."""

from __future__ import annotations

import contextlib
import secrets
import shlex
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from groupcast.names import name_fault
from groupcast_cli.stage import WSCAT, Place, Stage, StageError, add_place, client, find_stage, one_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

PASSWORD_CHARACTERS = 16
# Neither a shell nor an option reads anything into these symbols, wherever they stand.
KINDS = (string.ascii_lowercase, string.ascii_uppercase, string.digits, "+.:@_")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a user: `new`, or there before; `password`, where it has been set."""

    new: bool
    password: str | None = field(repr=False)


def add_parser(commands: Any) -> None:
    """Add `user` to the subparsers of the `groupcast` command."""
    user = commands.add_parser("user", help="make a user of a deployed stage, who can sign in at once")
    user.add_argument("user", metavar="NAME", help="of the user; others read it as the sender")
    user.add_argument("--stage", required=True, help="that is deployed")
    add_place(user)
    user.add_argument(
        "--group",
        action="append",
        default=[],
        help="of the pool, private-team for one, to be in; made where it is missing; may be repeated",
    )
    user.add_argument("--password", help="that lasts; a new user gets a random one unless given")
    user.set_defaults(run=_run)


def put_user(stage: Stage, name: str, groups: Sequence[str], password: str | None) -> Outcome:
    """Make the user, with a random password where None is given, or change who is there.

    Who is there keeps the password where None is given; groups are added, never taken away. StageError where
    the name may look like another's, and where the pool's policy or AWS refuses.
    """
    require_name(name)
    pool = {"UserPoolId": stage.user_pool_id}
    user = {**pool, "Username": name}
    with client("cognito-idp", stage.place) as cognito:
        try:
            # What may be refused comes before the user, who would be left behind half made.
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
    """StageError, with the reason, for a name that the gateway refuses with 403 alone."""
    if fault := name_fault(name):
        raise StageError(f"nobody can connect as {name!r}: {fault.text}; choose another user name")


def random_password() -> str:
    """16 characters, some of each kind that a Cognito pool can require."""
    while True:
        password = "".join(secrets.choice("".join(KINDS)) for _ in range(PASSWORD_CHARACTERS))
        if all(set(kind) & set(password) for kind in KINDS):
            return password


def wscat_line(stage: Stage, name: str) -> str:
    """The command that connects as this user. It asks for the password: a shell's history keeps none."""
    token = f".venv/bin/groupcast token {shlex.quote(name)} {stage.options}"
    return f'{WSCAT} -c "{stage.gateway_url}?token=$({token})"'


def _run(options: argparse.Namespace) -> int:
    stage = find_stage(options.stage, Place.of(options))
    groups = list(dict.fromkeys(options.group))
    outcome = put_user(stage, options.user, groups, options.password)
    print(_text(options.user, stage, outcome, given=options.password is not None))
    if groups:
        print(f"Groups added: {', '.join(groups)}.")
    print(f"\nConnect with this line, which asks for the password:\n\n  {wscat_line(stage, options.user)}")
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
