"""Options of `python -m loadtest` that cannot be meant."""

from __future__ import annotations

import pytest

from loadtest.cli import main


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ws://127.0.0.1:1", "-u", "0"], "users must be more than 0"),
        (["ws://127.0.0.1:1", "--threshold", "lost==0"], "is not a condition such as"),
        (["ws://127.0.0.1:1", "-t", "soon"], "is not a time such as"),
        (["--scenario", "no-such-file.toml"], "no-such-file.toml: "),
    ],
)
def test_wrong_usage_ends_with_a_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, before anything starts."""
    try:
        code = main(["run", *arguments])
    except SystemExit as error:
        # argparse's own way out.
        code = int(str(error.code))
    assert code == 2
    assert says in capsys.readouterr().err
