"""Keys: none is shown or on record, wherever it stands and whatever form it has; what has one in its name stays."""

from __future__ import annotations

import base64
import html
import json
import shlex
import subprocess
from urllib.parse import quote, quote_plus

from conftest import LEANFILE, Bench, Leaner

FIX = "sed -i 's/left - right/left + right/' calc.py; echo done\n"
KEY = "Zq8 live.K3y-91fe;~\"tail'!\\n77`$&<x>/+="


def forms(key: str) -> list[str]:
    """Write KEY in the ways in which programs do."""
    raw, json_twice = key.encode(), json.dumps(json.dumps(key))
    quoted = subprocess.run(["bash", "-c", 'printf %q "$0"', key], capture_output=True, text=True).stdout
    encoded = [encode(b"x" * before + raw + b"yy").decode() for encode, before in ENCODED]
    return [
        key, repr(key), json.dumps(key), json_twice, json.dumps(json_twice), html.escape(key), shlex.quote(key), quoted,
        quote(key, safe=""), quote(key, safe="").lower(), quote_plus(key), quote(quote(key, safe=""), safe=""),
        raw.hex(), raw.hex().upper(), raw.hex(":"), raw.hex(" "), "".join(f"\\x{byte:02x}" for byte in raw),
        "".join(f"%{byte:02X}" for byte in raw), ",".join(f"0x{byte:02x}" for byte in raw), key.upper(),
        key[:12] + "\n" + key[12:],
        "\n".join(f"+ {key[at : at + 6]}" for at in range(0, len(key), 6)), *encoded,
        base64.encodebytes(b"q" * 50 + raw * 3).decode(), base64.b32encode(raw).decode().lower(),
    ]  # fmt: skip


ENCODED = [(encode, before) for encode in (base64.b64encode, base64.urlsafe_b64encode) for before in range(3)]
ENCODED += [(base64.b32encode, before) for before in range(5)]


def letters(text: str) -> str:
    return "".join(sign for sign in text if sign.isascii() and sign.isalnum())


def kept(bench: Bench) -> str:
    """Join all that the record of a project's runs holds, and the names there."""
    found = [path for run in bench.runs() for path in run.rglob("*")]
    texts = [path.read_text(errors="replace") for path in found if path.is_file() and not path.is_symlink()]
    return "\n".join([*texts, *map(str, found)])


def with_key(bench: Bench, key: str) -> None:
    """Set the KEY in the static configuration."""
    config = bench.home / "config.toml"
    config.write_text(config.read_text().replace("[lean]", f"[lean]\napi_key = {json.dumps(key)}", 1))


def test_a_key_is_hidden_in_every_form(calc: Bench, leaner: Leaner) -> None:
    calc.write("../forms.txt", "\n\0".join(forms(KEY)).encode())
    leaner(f"cat {shlex.quote(str(calc.project.parent / 'forms.txt'))}; {FIX}")
    with_key(calc, KEY)
    ran = calc.lean_loop("--verbose")
    assert ran.code == 0, ran.text
    seen = letters(kept(calc) + ran.text)
    assert [form for form in forms(KEY) if letters(form)[6:-6] in seen] == []
    assert "[masked by lean-loop]" in ran.text


NAMED = {
    "STRIPE_KEY": "rk_1122334455667788aA", "PGPASSWORD": "short-pw-11", "GITHUB_PAT": "pat_abcdefgh12345678",
    "npm_config__authToken": "npmtok-abcdef123456", "OPENAI_API_KEY_2": "sk-two-22334455", "CREDENTIALS": "c" * 20,
    "DATABASE_URL": "postgres://app:dbPass_99z@db.local/x",
}  # fmt: skip
SETTINGS = """
[runner.env]
SERVICE_TOKEN = "run-env-tok-0a1b2c3d"
[lean]
options = { apiKey = "opt-key-77ab12cd34" }
base_url = "http://joe:S3cret-pw-91x@127.0.0.1:9/v1"
[health]
check_url = ""
"""
DOT_ENV = "# keys\nSTRIPE='sk_dotenv'\nexport MAIL_PASSWORD=\"mail-pw-0xDEAD-9\"\nDB=mysql://r:dotenvPw44@h/d\n"
PEM = "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEF\n-----END KEY-----\n"
REMOTE = "https://bob:ghs_Tok77abc@github.com/o/r.git"


def test_keys_are_found_where_they_usually_stand_and_by_their_names(calc: Bench, leaner: Leaner) -> None:
    calc.write(".env.local", DOT_ENV)
    calc.write("api/.env", "DEEP_TOKEN=deep-tok-4455xx\n")
    calc.git("remote", "add", "origin", REMOTE)
    calc.env |= NAMED | {"DEPLOY_KEY": PEM, "APP_TOKEN": str(calc.project), "MONKEY": "banana"}
    calc.write("leanfile.toml", SETTINGS + LEANFILE)
    calc.write("test_calc.py", f"import os\nprint(os.environ['SERVICE_TOKEN'])\n{calc.read('test_calc.py')}")
    leaner(f"env | sed 's/^/| /'; cat .env.local api/.env; git remote -v; echo warning: $LEAN_BASE_URL >&2; {FIX}")
    ran = calc.lean_loop()
    assert ran.code == 0, ran.text
    secrets = [
        *NAMED.values(),
        "dbPass_99z",
        "run-env-tok",
        "opt-key-77",
        "S3cret-pw",
        "mail-pw",
        "dotenvPw44",
        "deep-tok",
    ]
    secrets += ["MIIEvQIBADAN", "ghs_Tok77abc"]
    seen = kept(calc) + ran.text
    assert [key for key in secrets if key in seen] == []
    assert "sk_dotenv" in seen and "banana" in seen and str(calc.project) in seen  # no keys


TAKEN_OUT = """
git init -q inner; echo "$LEAN_API_KEY" > inner/k.txt; mkdir "d-$LEAN_API_KEY"; git init -q "d-$LEAN_API_KEY"
ln -s "$LEAN_API_KEY" inner/link; echo x > "d-$LEAN_API_KEY/f-$LEAN_API_KEY"
git branch "b-$LEAN_API_KEY"; git tag "t/$LEAN_API_KEY/x"; git config alias.x "!$LEAN_API_KEY"
echo "data: 1" > "conf-$LEAN_API_KEY.yaml"; echo "token = '$LEAN_API_KEY'" >> calc.py
"""


def test_what_is_taken_out_holds_no_key_and_comes_back_by_its_own_name(calc: Bench, leaner: Leaner) -> None:
    key = "Zq8_live.K3y-91fe"
    leaner(TAKEN_OUT + FIX, "source")
    with_key(calc, key)
    assert calc.lean_loop().code == 0
    shown = calc.lean_loop("--report", "--diff", below="..")
    assert "+token = '[masked by lean-loop]'" in shown.out
    assert (key in kept(calc), key in shown.text) == (False, False)
    assert f"conf-{key}.yaml" not in [path.name for path in calc.project.iterdir()]
    back = calc.lean_loop("--restore", "last/found-1")
    assert (back.code, (calc.project / f"conf-{key}.yaml").is_file(), key in back.text) == (0, True, False), back.text


def test_a_path_that_a_mask_fits_is_found_again(calc: Bench, leaner: Leaner) -> None:
    leaner(f"echo 'b = 2' > helper.py; {FIX}")
    calc.write("leanfile.toml", f"[guard]\nmask = ['project', 'helper']\n{LEANFILE}")
    before = calc.read("calc.py")
    assert calc.lean_loop().code == 0
    assert "gone" not in calc.lean_loop("--runs", "--prune").out
    assert calc.lean_loop("--undo").code == 0
    assert (calc.read("calc.py"), (calc.project / "helper.py").exists()) == (before, False)


def test_a_killed_run_is_tidied_up_without_telling_a_key(calc: Bench, leaner: Leaner) -> None:
    leaner(f'[ -e ../go ] && {{ {FIX} exit; }}; echo x > "s-$LEAN_API_KEY.yaml"; kill -9 $PPID; sleep 9')
    with_key(calc, "Zq8_live.K3y-91fe")
    assert calc.lean_loop().code < 0
    calc.write("../go", "")
    ran = calc.lean_loop()
    assert (ran.code, "Zq8_live" in kept(calc) + ran.text, "was killed" in ran.err) == (0, False, True), ran.text
    assert list(calc.project.glob("s-*")) == []


WRONG = {
    'api_key = { value = "AKIA7QXEXAMPLE9ZZTOP" }': 2,
    'base_url = ["http://me:AKIA7QXEXAMPLE9ZZTOP@h/v1", 3]': 2,
    'base_url = "ftp://me:AKIA7QXEXAMPLE9ZZTOP@h/v1"\nbinary = "direct"': 2,
    'api_key = "AKIA7QXEXAMPLE9ZZTOP"\nbinary = "./nope.sh --key AKIA7QXEXAMPLE9ZZTOP"': 3,
    'api_key = "correct-horse-battery"\nedit_format = "correct-horse-battery"': 2,
}


def test_an_error_of_the_configuration_shows_no_key(calc: Bench, leaner: Leaner) -> None:
    leaner("echo done")
    for text, code in WRONG.items():
        calc.write("leanfile.toml", f"[lean]\n{text}\n{LEANFILE}")
        ran = calc.lean_loop("--json")
        told = any(word in ran.text for word in ("AKIA7QX", "correct-horse"))
        assert (ran.code, told, "[masked by" in ran.text) == (code, False, True), ran.text


def test_a_key_on_the_command_line_is_not_shown(calc: Bench, leaner: Leaner) -> None:
    leaner("echo done")
    with_key(calc, "Zq8_live.K3y-91fe")
    ran = calc.lean_loop("--Zq8_live.K3y-91fe")
    assert (ran.code, ran.err.startswith("lean-loop: --[masked by lean-loop]")) == (2, True), ran.text


def test_an_edit_of_the_users_in_a_file_with_a_masked_name_is_not_committed(calc: Bench, leaner: Leaner) -> None:
    calc.write("mod_tokname123.py", "a = 1\n")
    calc.write("leanfile.toml", f"[defaults]\ncommit = true\n{LEANFILE}")
    calc.commit()
    calc.write("mod_tokname123.py", "a = 2  # mine\n")
    calc.env["X_TOKEN"] = "mod_tokname123"
    leaner(f"[ -e ../go ] || {{ touch ../go; kill -TERM $PPID; sleep 9; }}; echo 'b = 3' >> mod_tokname123.py; {FIX}")
    assert [calc.lean_loop(*verb).code for verb in ([], ["--resume"])] == [143, 0]
    assert "left + right" in calc.git("show", "HEAD:calc.py")
    assert "mine" not in calc.git("show", "HEAD:mod_tokname123.py")


def test_no_report_of_tests_stays_after_a_kill(calc: Bench, leaner: Leaner) -> None:
    calc.write("leanfile.toml", LEANFILE.replace('"unittest", "-q"', '"pytest", "-q"'))
    leaner(FIX)
    calc.write("conftest.py", "import atexit, os\natexit.register(os.kill, os.getppid(), 9)\n")
    assert calc.lean_loop().code < 0
    assert [path.name for path in calc.runs()[-1].glob("*-junit.xml")] != []
    calc.write("conftest.py", "")
    assert calc.lean_loop().code == 0
    assert [path for run in calc.runs() for path in run.glob("*-junit.xml")] == []
