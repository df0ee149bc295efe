"""The program as it is started by hand."""

import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

APP = Path(__file__).resolve().parent.parent


def run(database, *options):
    """Start the program on DATABASE."""
    command = [sys.executable, "-m", "bandeezy", "--db", str(database), *options]
    return subprocess.Popen(command, cwd=APP, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_it_serves_sample_data_on_loopback(tmp_path):
    with run(tmp_path / "sample.db", "--port", "0") as server:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
            with urllib.request.urlopen(address, timeout=10) as answer:
                page = answer.read().decode()
            assert "Brass in the open air" in page
        finally:
            server.terminate()


def test_migrate_brings_the_database_up_to_date_and_stops(tmp_path):
    outputs = [run(tmp_path / "new.db", "--migrate").communicate(timeout=30)[0] for _ in range(2)]
    assert "0001_accounts, 0002_offers_and_bookings" in outputs[0]
    assert "up to date" in outputs[1]


def test_what_cannot_be_used_is_said_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ends = [run(tmp_path / "new.db", "--port", port), run(tmp_path / "nowhere" / "new.db")]
        errors = [end.communicate(timeout=30)[1] for end in ends]
    assert errors[0].startswith(f"Port {port} cannot be used (")
    assert "new.db cannot be used (unable to open database file)" in errors[1]
    assert [error.count("\n") for error in errors] == [1, 1]
