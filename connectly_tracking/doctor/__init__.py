"""What keeps orders from flowing, and what to do about it: `connectly_doctor`.

Looks and changes nothing: what it tries in the database is rolled back, and the API is
asked only where a person said so. Nothing here raises or waits for long.
"""

from __future__ import annotations

from .api import probe
from .examination import examine
from .finding import Finding, Level
from .report import as_json, as_lines, exit_status
from .trial import Trial

__all__ = [
    "Finding",
    "Level",
    "Trial",
    "as_json",
    "as_lines",
    "examine",
    "exit_status",
    "probe",
]
