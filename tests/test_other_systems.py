"""What is particular to Windows and macOS, as far as it can be shown elsewhere: by its logic, not on the system."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

import leanloop
from conftest import is_alive


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leanloop, "WINDOWS", True)


def test_a_line_for_cmd_keeps_its_quotes(windows: None) -> None:
    runner = leanloop.Runner("pytest", ("tests/two words.py", "-k", "a"), shell=True)
    argv = leanloop.test_argv(runner, Path())
    assert leanloop.as_command(argv) == 'cmd /d /s /c "pytest "tests/two words.py" -k a"'
    assert leanloop.as_command(["pytest", "two words.py"]) == ["pytest", "two words.py"]


def test_without_git_no_bash_of_the_project_is_taken(
    windows: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "project/tools").mkdir(parents=True)
    (tmp_path / "project/tools/bash.exe").touch()
    monkeypatch.chdir(tmp_path / "project/tools")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(leanloop.NotReady, match="Git for Windows"):
        leanloop.bash()
    for program in ("cmd/git", "bin/bash.exe"):
        file = tmp_path / "Git" / program
        file.parent.mkdir(parents=True)
        file.touch(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "Git/cmd"))
    assert leanloop.bash() == str(tmp_path / "Git/bin/bash.exe")


@pytest.mark.skipif(not shutil.which("ps"), reason="ps is not installed")
def test_ps_is_not_among_the_processes_that_it_lists() -> None:
    assert [pid for pid in leanloop.children_by_ps()(os.getpid()) if not is_alive(pid)] == []
    assert os.getpid() in leanloop.children_by_ps()(os.getppid())
