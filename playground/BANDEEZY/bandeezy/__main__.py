"""Serve BANDEEZY on this machine: `python -m bandeezy [--port N] [--db FILE] [--migrate]`."""

from __future__ import annotations

import argparse
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from bandeezy.app import App
from bandeezy.database import connect, migrate
from bandeezy.sample import ACCOUNTS, PASSWORD, fill, is_empty

HOST = "127.0.0.1"


class Server(ThreadingMixIn, WSGIServer):
    """Answer each request in a thread of its own."""

    daemon_threads = True


class QuietHandler(WSGIRequestHandler):
    """Answer without a line in the terminal for every request."""

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def prepare(database: Path) -> list[str]:
    """Bring the database up to date, with sample data where it is empty; return the migrations that ran."""
    try:
        with closing(connect(database)) as db:
            applied = migrate(db)
            if is_empty(db):
                fill(db)
    except sqlite3.Error as error:
        raise SystemExit(f"{database} cannot be used ({error}). Name another file with --db.") from error
    return applied


def serve(database: Path, port: int) -> None:
    """Serve until Ctrl-C."""
    try:
        server = make_server(HOST, port, App(database), Server, QuietHandler)
    except (OSError, OverflowError) as error:
        raise SystemExit(f"Port {port} cannot be used ({error}). Choose another one with --port.") from error
    with server:
        print(f"BANDEEZY is at http://{HOST}:{server.server_port}/ (Ctrl-C ends it)")
        print(f"Sign in as {', '.join(handle for handle, *_ in ACCOUNTS)}; the password is {PASSWORD}", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print("bye")


def main() -> int:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="python -m bandeezy", description="Bands offer evenings, venues book them.")
    parser.add_argument("--port", type=int, default=8090, help="0 takes any free one (default: %(default)s)")
    parser.add_argument("--db", type=Path, default=Path("bandeezy.db"), help="the database (default: %(default)s)")
    parser.add_argument("--migrate", action="store_true", help="bring the database up to date and stop")
    arguments = parser.parse_args()
    applied = prepare(arguments.db)
    if arguments.migrate:
        print(f"{arguments.db}: {', '.join(applied) or 'up to date'}")
    else:
        serve(arguments.db, arguments.port)
    return 0


if __name__ == "__main__":
    sys.exit(main())
