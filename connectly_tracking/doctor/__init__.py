"""Finds out why orders are not sent, and says what to do: `connectly_doctor`.

It changes nothing: what it writes to the database is rolled back, and the API is only
asked if a person agrees. No check raises, and those that wait for a server have a time
limit. A callable API_KEY is called, so this is for a command and not for a page.
"""

from __future__ import annotations

from ..findings import Finding, Level
from .api import ProbeRequest, probe
from .report import as_json, as_lines, examine, exit_status

__all__ = [
    "Finding",
    "Level",
    "ProbeRequest",
    "as_json",
    "as_lines",
    "examine",
    "exit_status",
    "probe",
]
