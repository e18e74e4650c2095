"""What the tests of the doctor share."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command

from connectly_tracking.doctor import examine

if TYPE_CHECKING:
    from connectly_tracking.doctor import Finding


def codes(only: str | None = None) -> dict[str, Finding]:
    """Everything that is found, by its code."""
    findings, _ready = examine(only)
    return {finding.code: finding for finding in findings}


def assert_says(finding: Finding, level: str, *words: str) -> None:
    """Level, and words of the sentence or the remedy."""
    assert finding.level == level
    for word in words:
        assert word in f"{finding.text} → {finding.remedy}"


def run(*options: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(SystemExit) as ended, redirect_stderr(err):
        call_command("connectly_doctor", *options, stdout=out, stderr=err)
    return int(str(ended.value.code)), out.getvalue(), err.getvalue()


def run_json(*options: str) -> tuple[int, dict[str, Any]]:
    status, out, _err = run("--json", *options)
    return status, json.loads(out)
