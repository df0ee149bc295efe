#!/usr/bin/env python3
"""Measure what four answers to one prompt cost a llama-server on a processor: one by one, at once, and as one request.

    several_answers.py [--weights 0.5B] [--threads 1]

Seconds are the server's own time on the processor, so that other work on the machine counts little. Each way gets a
prompt of about 500 tokens that the server has not seen, and answers of 100 tokens.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests")]

from llama import WEIGHTS, Llama, llama_server, serving, weights  # noqa: E402

ANSWER, WAIT = 100, 900
TEXT = Path(__file__).read_text(encoding="utf-8")[:2000]


def processor_seconds(server: Llama) -> float:
    """Tell how long a server has been at work."""
    facts = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def ask(server: Llama, prompt: str, answers: int = 1) -> None:
    """Let the server write ANSWERS of full length to a PROMPT, asked for in one request."""
    message = {"role": "user", "content": prompt}
    body = {"messages": [message], "max_tokens": ANSWER, "ignore_eos": True, "temperature": 0.8, "n": answers}
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=WAIT) as answer:
        assert len(json.load(answer)["choices"]) == answers


def at_once(server: Llama, prompt: str, requests: int) -> None:
    with ThreadPoolExecutor(requests) as pool:
        list(pool.map(lambda _: ask(server, prompt), range(requests)))


def one_by_one(server: Llama, prompt: str, requests: int) -> None:
    for _ in range(requests):
        ask(server, prompt)


def one_then_the_others(server: Llama, prompt: str) -> None:
    ask(server, prompt)
    at_once(server, prompt, 3)


WAYS: dict[str, Callable[[Llama, str], None]] = {
    "one answer": ask,
    "four, one by one": lambda server, prompt: one_by_one(server, prompt, 4),
    "four at once": lambda server, prompt: at_once(server, prompt, 4),
    "one, then three at once": one_then_the_others,
    "four in one request (n = 4)": lambda server, prompt: ask(server, prompt, 4),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", choices=list(WEIGHTS), default="1.5B")
    parser.add_argument("--threads", default="1")
    options = parser.parse_args()
    settings = ("-t", options.threads, "-np", "4", "-c", "16384")
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(llama_server(), weights(options.weights), Path(folder), *settings) as server,
    ):
        server.wait(200)
        for number, (way, act) in enumerate(WAYS.items()):
            before = processor_seconds(server)
            act(server, f"{number}. What does this program do?.\n\n{TEXT}")
            print(f"{options.weights}: {way}: {processor_seconds(server) - before:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
