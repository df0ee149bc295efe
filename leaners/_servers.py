"""The servers of a leaner: which one is asked, whether it is ready, what it tells of itself, how much it does at once.

The loop loads this file before it asks a leaner. A task stays with the first of its servers, which keeps what it has
read of a prompt; several answers to one prompt are spread over all. One that fails is left out of the run, and named.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from leanloop import (
    MISUSE,
    Config,
    Document,
    Leaner,
    LeanError,
    NotReady,
    Run,
    ServerUrl,
    clean_environment,
    leaner_variables,
    replace,
    run_process,
    share,
)


def ready_one(run: Run, leaner: Leaner) -> Leaner:
    """Give LEANER with the first of its servers that is ready; those before it are left out from then on.

    It is looked at once before each call. A server that was found to be well, and not called since, is not.
    """
    ways = [at(leaner, url) for url in servers_left(run, leaner)]
    if run.ready == ways[0].place:
        return ways[0]
    here, told, troubles = wait_for_server(run.config, ways, partial(run.reporter.emit, "waiting"))
    for url, why in troubles.items():
        leave_out(run, url, why)
    if "context" in told:
        run.servers[here.base_url, here.model] = told
    run.ready = here.place
    return here


def model_at_once(run: Run) -> str:
    """Tell which model is asked first: the one that is set, or that its server says without a wait, which is ready."""
    leaner, told = run.config.lean, Document()
    if leaner.base_url and not leaner.model and run.config.health.check_url is None:
        here = at(leaner, servers_left(run, leaner)[0])
        with suppress(NotReady):
            told, trouble = probe(here, seconds=2)
            if not trouble:
                run.servers[here.base_url, here.model], run.ready = told, here.place
    return leaner.model or str(told.get("model", ""))


def servers_left(run: Run, leaner: Leaner) -> list[str]:
    """List the base URLs of a leaner without those that are left out; all, where none is left."""
    every = leaner.servers
    return [url for url in every if url not in run.left_out] or list(every)


def at(leaner: Leaner, url: str) -> Leaner:
    """Give LEANER with one of its servers for the one to ask; it knows the others yet."""
    return replace(leaner, base_url=ServerUrl(url, leaner.servers))


def leave_out(run: Run, url: str, why: str) -> None:
    """Ask a server no more in this run, and say so."""
    run.left_out.add(url)
    run.workspace.warn(f"the server {url} is left out of this run: {why}")


def goes_on_elsewhere(run: Run, here: Leaner, why: str) -> bool:
    """Leave the server that HERE is set to out, and tell whether there is another to ask."""
    others = [url for url in servers_left(run, here) if url != here.base_url]
    if others:
        leave_out(run, here.base_url, why)
        run.ready = ()
    return bool(others)


def rooms(run: Run, leaner: Leaner) -> dict[str, int]:
    """Tell how many answers each server of a leaner may write at once; the one that a task stays with is first."""
    found = dict[str, int]()
    for here in [at(leaner, url) for url in servers_left(run, leaner)]:
        key = here.base_url, here.model
        if key not in run.servers and (len(here.servers) > 1 or not leaner.parallel):
            try:
                run.servers[key], trouble = probe(here)
            except NotReady as error:
                run.servers[key], trouble = {}, str(error)
            if trouble and found:
                leave_out(run, here.base_url, trouble)
                continue
        found[here.base_url] = leaner.parallel or run.servers[key].get("slots") or 1
    return found


def wait_for_server(
    config: Config, leaners: Sequence[Leaner], tell_waiting: Callable[..., None]
) -> tuple[Leaner, Document, dict[str, str]]:
    """Wait until one of LEANERS finds its server ready, `[health] max_wait` seconds at most.

    Give that leaner, what its server tells of itself, if asked, and the trouble that the servers before it have.
    """
    most, troubles = config.health.max_wait, dict[str, str]()
    deadline = time.monotonic() + most
    while True:
        for leaner in leaners:
            told, trouble = look_at(config, leaner, deadline - time.monotonic(), is_only=len(leaners) == 1)
            if not trouble:
                return leaner, told, troubles
            troubles[leaner.base_url] = trouble
        left, url = deadline - time.monotonic(), checked_url(config, leaners[0])
        if left <= 0:
            waited = f" after {most:g} s" if most else ""
            advice = "Start it, or set [lean] base_url, [health] check_url or max_wait."
            raise NotReady(f"{url}: the server is not ready{waited}: {troubles[leaners[0].base_url]}. {advice}")
        tell_waiting(url=url, left=int(left) + 1)
        time.sleep(min(1.0, left))


def look_at(config: Config, leaner: Leaner, seconds: float, is_only: bool) -> tuple[Document, str]:
    """Look at a leaner's server once, if it is to be looked at; give what it tells of itself, or its trouble.

    Raises NotReady where waiting will not help and it is the only one.
    """
    url = checked_url(config, leaner)
    if url and not re.match(r"https?://[^/\s]", url):
        raise LeanError(
            f"{url}: this is no URL: it begins with http:// or https://. Correct [lean] base_url or check_url."
        )
    try:
        return probe(leaner, config.health.check_url or "", seconds) if url else ({}, "")
    except NotReady as error:
        if is_only:
            raise
        return {}, str(error)


def checked_url(config: Config, leaner: Leaner) -> str:
    """Name what is looked at to see whether a server is ready; nothing where nothing is."""
    check = config.health.check_url
    return f"{leaner.base_url.rstrip('/')}/models" if check is None and leaner.base_url else check or ""


def probe(leaner: Leaner, url: str = "", seconds: float = 10) -> tuple[Document, str]:
    """Ask `direct --probe` what the leaner's server tells of itself, or whether URL is well, and what trouble there is.

    Raises NotReady where waiting will not help.
    """
    argv = [sys.executable, str(share() / "leaners" / "direct.py"), "--probe", *filter(None, [url])]
    limit = max(1.0, min(10.0, seconds))
    env = {**clean_environment(), **leaner_variables(leaner), "LEAN_TIMEOUT": f"{limit:g}"}
    done = run_process(argv, Path.cwd(), env=env, timeout=limit + 10, apart=True)  # it may trickle for ever
    reason = done.errors.strip().rpartition("\n")[2].removeprefix("direct: ").rstrip(".") or f"it {done.end}"
    if done.code == MISUSE:
        raise NotReady(f"{url or leaner.base_url}: {reason}.")
    return (json.loads(done.output), "") if done.code == 0 else ({}, reason)
