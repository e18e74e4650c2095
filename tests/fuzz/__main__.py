"""``python -m tests.fuzz [link] [answer] … --seconds 60``: needs the group ``fuzz``.

Each target runs in a process of its own for so many seconds. An input that breaks a
promise is printed, kept in the file that is named, and ends the command with status 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .seeds import SEEDS


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[[], *SEEDS], default=[])
    parser.add_argument("--seconds", type=int, default=60, help="for each (60)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options, rest = parser.parse_known_args()
    if options.inside:
        _fuzz(options.targets[0], rest)
    failed = [it for it in options.targets or SEEDS if not _run(it, options.seconds)]
    return 1 if failed else 0


def _run(name: str, seconds: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="connectly-fuzz-") as directory:
        for number, seed in enumerate(SEEDS[name]):
            Path(directory, str(number)).write_bytes(seed)
        kept = Path(tempfile.gettempdir(), f"connectly-fuzz-{name}-")
        limits = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=5"]
        limits.append(f"-artifact_prefix={kept}")
        run = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", name, "--inside", directory, *limits],
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
    done = re.search(r"Done (\d+) runs in (\d+) second", run.stderr)
    if run.returncode == 0 and done:
        print(f"{name}: {int(done[1]):,} inputs in {done[2]} s, no fault")  # noqa: T201
        return True
    print(f"{name}: failed\n{run.stderr[-4000:]}")  # noqa: T201
    return False


def _fuzz(name: str, rest: list[str]) -> None:
    """Never returns."""
    import atheris

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
    with atheris.instrument_imports(include=["connectly_tracking"]):
        import django

        django.setup()
        from . import targets

    atheris.Setup([sys.argv[0], *rest], getattr(targets, name))
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
