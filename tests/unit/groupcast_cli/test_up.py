"""What `groupcast up` refuses before it starts anything: one clear line, and exit code 1 or 2."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from groupcast_cli.main import main
from tests.conftest import ROOT


class Up:
    """`groupcast up` in a folder with a serverless.yml."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._file, self._capsys = folder / "serverless.yml", capsys
        self.text = (ROOT / "serverless.yml").read_text()

    def complaint(self, *arguments: str) -> str:
        """Its one line."""
        self._file.write_text(self.text)
        assert main(["up", "--page-port", "0", "--gateway-port", "0", *arguments]) == 1
        said = self._capsys.readouterr().err
        assert said.startswith("groupcast: "), said
        assert said.count("\n") == 1, said
        return said


@pytest.fixture
def up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Up:
    monkeypatch.chdir(tmp_path)
    return Up(tmp_path, capsys)


@pytest.mark.parametrize("option", ["--page-port", "--gateway-port"])
def test_a_taken_port_is_said(up: Up, option: str) -> None:
    """Which port, for what, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = up.complaint(option, port)
    assert f"port {port}" in said
    assert option in said


def test_a_missing_database_is_said(up: Up) -> None:
    """Without node_modules there is no DynamoDB Local: the line says how to get it."""
    assert "make setup" in up.complaint()


def test_a_misspelt_setting_is_said(up: Up) -> None:
    """serverless.yml is checked first."""
    up.text = up.text.replace("batchSize", "batchsize")
    assert "did you mean batchSize" in up.complaint()


def test_sign_in_without_a_user_pool_is_said(up: Up) -> None:
    """--auth cognito needs one in serverless.yml."""
    up.text = up.text.replace("AWS::Cognito::UserPoolClient", "AWS::X::Y")
    up.text = up.text.replace("!Ref UserPoolClient", "none")
    assert "there are 1 and 0" in up.complaint("--auth", "cognito")


def test_a_parameter_that_contradicts_the_option_is_said(up: Up) -> None:
    """The functions would ask for tokens that nothing gives."""
    assert "contradicts --auth none" in up.complaint("--param", "auth=cognito")


def test_a_data_folder_that_cannot_be_is_said(up: Up, tmp_path: Path) -> None:
    """A file is no folder."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "data"):
        assert f"--data: {path} cannot be used" in up.complaint("--data", str(path))


def test_an_unknown_function_for_another_handler_is_said(up: Up) -> None:
    """--handler names a function of serverless.yml."""
    said = up.complaint("--handler", "fanout=a.b")
    assert "there is no function fanout; there are authorize" in said


def test_a_timeout_that_cannot_be_is_said(up: Up) -> None:
    """An unknown function, and a timeout longer than its queue's visibility timeout."""
    assert "there is no function fanout" in up.complaint("--timeout", "fanout=3")
    assert "at least fanoutRetry's timeout" in up.complaint("--timeout", "fanoutRetry=900")


@pytest.mark.parametrize(
    "arguments", [["--page-port", "x"], ["--gateway-port", "70000"], ["--faults", "2,0,0"], ["--nope"]]
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    """argparse's own convention."""
    with pytest.raises(SystemExit) as caught:
        main(["up", *arguments])
    assert caught.value.code == 2
