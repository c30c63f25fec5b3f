"""Parsing options and scenario files."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from loadtest.control.options import thresholds_of
from loadtest.errors import ScenarioError
from loadtest.plan import options as given
from loadtest.plan.scenario import Scenario, Stage


def parsed(*arguments: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    given.add_scenario_arguments(parser)
    parser.add_argument("--threshold", action="append")
    parser.add_argument("--abort-on", action="append")
    return parser.parse_args(arguments)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30", 30), ("30s", 30), ("1.5m", 90), ("2h", 7200), ("250ms", 0.25)]
)
def test_times_have_units(text: str, seconds: float) -> None:
    """A number alone is seconds."""
    assert given.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "s", "30 days", "-5s", "1e3"])
def test_an_invalid_time_is_a_usage_error(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time such as"):
        given.duration_s(text)


def test_words_are_split_like_in_a_shell() -> None:
    """Quotes keep a word together; an open quote is a usage error."""
    assert given.words("--hops aws --param 'a=b c'") == ("--hops", "aws", "--param", "a=b c")
    assert given.words("") == ()
    with pytest.raises(argparse.ArgumentTypeError, match="No closing quotation"):
        given.words("--param 'a")


@pytest.mark.parametrize("text", ["200", "30s", "30s:", "30s:many", ":200"])
def test_an_invalid_stage_is_a_usage_error(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        given.stage(text)


def test_without_options_it_is_the_default_scenario() -> None:
    """The defaults are Scenario's own."""
    assert given.scenario_of(parsed()) == Scenario()


def test_options_become_the_scenario() -> None:
    """Each option sets a field; stages add up."""
    scenario = given.scenario_of(
        parsed(
            *"-r 20 --groups 2 --rate 7 --arrival uniform --warmup 1s --drain 3s".split(),
            *"--processes 2 --size 64 --seed 9 -s 30s:200 -s 2m:1000".split(),
        )
    )
    assert scenario == Scenario(
        connect_rate=20,
        groups=2,
        rate=7,
        arrival="uniform",
        warmup_s=1,
        drain_s=3,
        processes=2,
        size_bytes=64,
        seed=9,
        stages=(Stage(30, 200), Stage(120, 1000)),
    )


def test_a_file_has_the_options_names_and_the_command_line_wins(tmp_path: Path) -> None:
    """The command line overrides the file, which overrides the defaults."""
    path = tmp_path / "evening.toml"
    path.write_text(
        'users = 300\nduration = "2m"\nrate = 5\nconnect-rate = 40\nthreshold = ["ledger:duplicate==0"]\n'
        'abort-on = ["delivery_ms:max<9000"]\n'
    )
    options = parsed("--scenario", str(path), "--rate", "8")
    scenario = given.scenario_of(options)
    assert (scenario.users, scenario.duration_s, scenario.rate, scenario.connect_rate) == (300, 120, 8, 40)
    thresholds, aborts = thresholds_of(options)
    assert [threshold.expression for threshold in thresholds] == ["ledger:duplicate==0"]
    assert [threshold.expression for threshold in aborts] == ["delivery_ms:max<9000"]


def test_users_on_the_command_line_replace_a_file_s_stages(tmp_path: Path) -> None:
    """-u 5 means five users, whatever the file's stages."""
    path = tmp_path / "stages.toml"
    path.write_text('stage = ["30s:200", "1m:500"]\n')
    assert given.scenario_of(parsed("--scenario", str(path))).users == 500
    assert given.scenario_of(parsed("--scenario", str(path), "-u", "5", "-t", "7s")).stages == (Stage(7, 5),)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("user = 3", "unknown setting user; did you mean users?"),
        ("[load]", "unknown setting load"),
        ('users = "many"', "users must be a whole number, not 'many'"),
        ('users = "3"', "users must be a whole number, not '3'"),
        ("users = true", "users must be a whole number, not True"),
        ("connect_rate = []", "connect-rate must be a number, not []"),
        ('arrival = "often"', "arrival must be poisson or uniform, not 'often'"),
        ('duration = "long"', "long is not a time"),
        ("duration = [1]", "[1] is not a time such as 30s or 2m"),
        ("stage = 3", "stage must be a list of text, not 3"),
        ("stage = [3]", "stage[0] must be text, not 3"),
        ('stage = ["3"]', "3 is not a stage such as 30s:200"),
        ("users", "Expected '='"),
    ],
)
def test_a_wrong_file_has_a_clear_error(tmp_path: Path, text: str, says: str) -> None:
    """Unknown names and wrong values, with the file's name."""
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as caught:
        given.scenario_of(parsed("--scenario", str(path)))
    assert str(caught.value).startswith(f"{path}: ")
    assert says in str(caught.value)
