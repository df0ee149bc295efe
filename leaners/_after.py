"""What follows a green task or a run where the configuration asks for it: commands, a commit, a notification.

The loop loads this file where there is something to do.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from pathlib import Path

from leanloop import (
    Document,
    GitError,
    Reporter,
    Run,
    Task,
    ask_git,
    clean_environment,
    encodable,
    git,
    joined,
    run_process,
    run_shell,
    shell_argv,
)

UNDER_WAY = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")
NOTIFY_SECONDS = 30


def run_commands(run: Run, task: Task) -> str:
    """Run a green task's after-commands; return what failed, if one did."""
    config, reporter = run.config, run.reporter
    limit = config.defaults.after_command_timeout, "[defaults] after_command_timeout"
    for command in task.after:
        reporter.emit("after", command=command)
        done = run_shell(config.root, command, task.files, clean_environment(), limit, reporter.on_beat)
        output = reporter.mask(done.output)
        reporter.write("after.txt", output)
        if done.code or done.cut:
            return f"the after-command '{command}' {done.end}: {' '.join(output.splitlines()[-3:]).strip()}"
    return ""


def commit_task(run: Run, name: str, paths: Set[str], dirty: Set[str]) -> None:
    """Commit the PATHS that a task changed; not what was DIRTY with the user's own edits."""
    places, warn = run.snapshots.repository.places, run.workspace.warn
    if not places or any((places[0] / mark).exists() for mark in UNDER_WAY):
        warn(f"nothing is committed: there is {'a merge or rebase under way' if places else 'no repository'}")
        return
    changed = paths & {*run.snapshots.uncommitted()}
    if changed & dirty:
        warn(f"not committed, for earlier edits that are not: {', '.join(sorted(changed & dirty))}")
    if own := sorted(changed - dirty):
        try:
            made = make_commit(run.config.root, name, own)
            run.reporter.emit("committed", commit=made, paths=own)
        except GitError as error:
            warn(f"not committed: {error}")


def make_commit(root: Path, name: str, paths: Sequence[str]) -> str:
    """Commit PATHS alone, whatever else is staged: no hooks, no signing, and a name where the user has none."""
    settings = ["-c", "gc.auto=0", "-c", "maintenance.auto=false"]
    for key, usual in {"user.name": "lean-loop", "user.email": "lean-loop@localhost"}.items():
        settings += ["-c", f"{key}={ask_git(root, 'config', key) or usual}"]
    listed = ["--pathspec-from-file=-", "--pathspec-file-nul"]
    git(["--literal-pathspecs", "add", "--intent-to-add", "--force", *listed], root, feed=joined(paths))
    commit = ["commit", "--quiet", "--only", "--no-verify", "--no-gpg-sign", "--message", name]
    git(["--literal-pathspecs", *settings, *commit, *listed], root, feed=joined(paths))
    return ask_git(root, "rev-parse", "HEAD")


def notify(reporter: Reporter, told: Document) -> None:
    """Run `[notify] command` with the outcome in its environment; that it fails is a warning only."""
    config = reporter.config
    if not config.notify.command:
        return
    env = {
        **clean_environment(),
        "LEANLOOP_CODE": str(told["outcome"]["code"]),
        "LEANLOOP_STATE": told["outcome"]["state"],
        "LEANLOOP_RUN": told["outcome"]["run"],
        "LEANLOOP_REPORT": str(reporter.folder / "report.md"),
        "LEANLOOP_OUTCOME": encodable(told["words"][-30_000:]),  # Windows takes 32,767
    }
    done = run_process(shell_argv(config.notify.command), config.root, env=env, timeout=NOTIFY_SECONDS)
    if done.code or done.cut:
        reporter.emit("warning", text=f"[notify] command {done.end}: {' '.join(done.output.split())[-200:]}")
