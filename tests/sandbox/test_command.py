"""``python -m connectly_tracking.sandbox``."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest
import requests

from connectly_tracking.sandbox.__main__ import main

from .ask import (
    BUSINESS,
    HEADERS,
    KEY,
    PATH,
    PURCHASE,
    ROOT,
)


class TestCommand:
    ARGUMENTS = ("--business-id", BUSINESS, "--api-key", KEY)

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_it_serves_until_it_is_told_to_end(self, tmp_path, number):
        log = tmp_path / "log"
        command = [
            sys.executable,
            "-m",
            "connectly_tracking.sandbox",
            "--log",
            str(log),
        ]
        environment = {
            **os.environ,
            "CONNECTLY_BUSINESS_ID": BUSINESS,
            "CONNECTLY_API_KEY": KEY,
        }
        with subprocess.Popen(
            [*command, "--behave", "500*1", "--behave", "ok"],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=ROOT,
            text=True,
        ) as process:
            assert process.stdout
            url = process.stdout.readline().removeprefix("BASE_URL is ").strip()
            statuses = [
                requests.post(
                    url + PATH, json=PURCHASE, headers=HEADERS, timeout=10
                ).status_code
                for _ in range(2)
            ]
            process.send_signal(number)
            assert KEY not in process.stdout.read()
            assert process.wait(10) == 0
        assert statuses == [500, 200]
        assert len(log.read_text().splitlines()) == 2

    def test_it_wants_a_business_and_a_key(self, monkeypatch, capsys):
        monkeypatch.delenv("CONNECTLY_API_KEY", raising=False)
        with pytest.raises(SystemExit, match="2"):
            main(["--business-id", BUSINESS])
        assert "--api-key are required" in capsys.readouterr().err

    def test_it_says_what_it_does_not_understand(self, capsys):
        with pytest.raises(SystemExit, match="2"):
            main([*self.ARGUMENTS, "--behave", "teapot"])
        assert "unknown behaviour 'teapot'" in capsys.readouterr().err

    def test_it_says_that_the_port_is_taken(self, sandbox, capsys):
        port = sandbox.url.rsplit(":", 1)[1]
        with pytest.raises(SystemExit, match="2"):
            main([*self.ARGUMENTS, "--port", port])
        assert "in use" in capsys.readouterr().err

    def test_it_loads_the_standard_library_alone(self):
        code = (
            "import sys, connectly_tracking.sandbox.__main__;"
            "print(*sys.modules, sep='\\n')"
        )
        done = subprocess.run(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
            check=True,
        )
        loaded = done.stdout.split()
        ours = {name for name in loaded if name.startswith("connectly_tracking.")}
        assert {name.split(".")[1] for name in ours} == {"sandbox"}
        assert not {"django", "requests", "celery", "urllib3"} & set(loaded)
