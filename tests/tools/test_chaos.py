from __future__ import annotations

import contextlib
import itertools
import random
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.tools.chaos import Chaos, Draw

PATIENCE = 60.0  # seconds: what should happen, happens before
SOON = (0.05, 0.4)
NEVER = (3600.0, 3600.0)

#: A leader and one child. They hold one lock between them, so that a leader started
#: before both are gone writes "overlap". Its arguments say what kind of leader it is.
COMMAND = """
import fcntl, os, signal, sys

story = open("story", "a", buffering=1)

def asked(*_):
    print("asked", os.getpid(), file=story)
    if "stubborn" not in sys.argv:
        os._exit(0)

signal.signal(signal.SIGTERM, asked)
lock = open("lock", "w")
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("overlap", os.getpid(), file=story)
child = os.fork()
if not child:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("child", os.getpid(), file=story)
else:
    print("leader", os.getpid(), file=story)
if child and "brief" in sys.argv:
    os._exit(3)
while True:
    signal.pause()
"""


@pytest.fixture
def directory(tmp_path):
    """Where the command writes its story; whoever is in it must have gone."""
    yield tmp_path
    story = told(tmp_path)
    assert not [pid for _, pid in story if is_alive(pid)]
    assert "overlap" not in [word for word, _ in story]


@pytest.fixture
def chaos(directory):
    def chaos(*words, every=NEVER, **options):
        command = [sys.executable, "-c", COMMAND, *words]
        return Chaos(command, every=every, cwd=directory, **options)

    return chaos


def told(directory):
    """The story, as pairs of a word and a process id."""
    with contextlib.suppress(FileNotFoundError):
        lines = (directory / "story").read_text().splitlines()
        return [(word, int(pid)) for word, pid in map(str.split, lines)]
    return []


def those(word, directory):
    return [pid for said, pid in told(directory) if said == word]


def is_alive(pid):
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def eventually(condition):
    end = time.monotonic() + PATIENCE
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.01)
    return true


def seed_of(*, tree, member):
    """One whose first kill is such: of the first half of the members, or the last."""
    for seed in itertools.count():
        draw = Draw.from_chance(random.Random(seed), NEVER)
        if (draw.tree, draw.member < 0.5) == (tree, member < 0.5):
            return seed
    raise AssertionError


def is_up(directory):
    """Whether leader and child have both said so."""
    return those("leader", directory) and those("child", directory)


def struck(chaos, directory):
    """A kill once it is up, and what follows from it."""
    assert eventually(lambda: is_up(directory))
    chaos.strike()
    assert eventually(lambda: chaos.kills)
    if chaos.kills[0].whom != "member":
        assert eventually(lambda: chaos.restarts)
    return [(kill.whom, [*kill.pids]) for kill in chaos.kills]


def test_it_is_killed_and_started_again_and_in_the_end_nothing_is_left(chaos) -> None:
    before = datetime.now(UTC)
    with chaos(seed=1, every=SOON) as running:
        assert eventually(lambda: running.restarts >= 5)
    times = [before, *(kill.at for kill in running.kills), datetime.now(UTC)]
    assert len(times) >= 7
    assert times == sorted(times)
    assert not [thread for thread in threading.enumerate() if "chaos" in thread.name]


def test_a_tree_dies_at_once(chaos, directory) -> None:
    with chaos(whom="tree") as running:
        assert struck(running, directory) == [
            ("tree", [those("leader", directory)[0], those("child", directory)[0]])
        ]


def test_any_may_be_the_tree(chaos, directory) -> None:
    with chaos(seed=seed_of(tree=True, member=0)) as running:
        assert [whom for whom, _ in struck(running, directory)] == ["tree"]


def test_any_may_be_a_child_and_the_leader_goes_on(chaos, directory) -> None:
    with chaos(seed=seed_of(tree=False, member=1)) as running:
        assert struck(running, directory) == [("member", those("child", directory))]
        assert eventually(lambda: not is_alive(those("child", directory)[0]))
        assert is_alive(those("leader", directory)[0])
        assert running.restarts == 0


def test_whom_a_leader_leaves_behind_is_killed_before_it_is_started_again(
    chaos, directory
) -> None:
    with chaos(whom="leader") as running:
        assert struck(running, directory) == [
            ("leader", those("leader", directory)[:1]),
            ("rest", those("child", directory)[:1]),
        ]
        leader, child = those("leader", directory)[0], those("child", directory)[0]
        members = [kill.members for kill in running.kills]
        assert members == [(leader, child), (child,)]


def test_any_may_be_the_leader(chaos, directory) -> None:
    with chaos(seed=seed_of(tree=False, member=0)) as running:
        assert [whom for whom, _ in struck(running, directory)] == ["leader", "rest"]


def test_the_same_seed_makes_the_same_draws() -> None:
    def draws(seed):
        chance = random.Random(seed)
        return [Draw.from_chance(chance, (0.3, 2.0)) for _ in range(100)]

    assert draws(1) == draws(1) != draws(2)
    assert all(0.3 <= draw.pause <= 2.0 for draw in draws(1))
    assert 25 < sum(draw.tree for draw in draws(1)) < 75


def test_a_command_that_ends_by_itself_is_started_again(chaos) -> None:
    with chaos("brief") as running:
        assert eventually(lambda: running.restarts >= 3)
    assert {kill.whom for kill in running.kills} <= {"rest"}


def test_at_the_end_the_leader_is_asked_and_the_others_are_killed(
    chaos, directory
) -> None:
    with chaos(grace=PATIENCE) as running:
        assert eventually(lambda: is_up(directory))
    running.stop()
    assert those("asked", directory) == those("leader", directory)
    assert running.restarts == 0
    (kill,) = running.kills
    assert (kill.whom, [*kill.pids]) == ("rest", those("child", directory))


def test_at_the_end_who_does_not_heed_is_killed(chaos, directory) -> None:
    with chaos("stubborn", grace=0.2):
        assert eventually(lambda: is_up(directory))
    assert those("asked", directory) == those("leader", directory)


def test_it_is_started_once_at_a_time(chaos, directory) -> None:
    with chaos() as running:
        with pytest.raises(RuntimeError, match="already"):
            running.start()
        assert eventually(lambda: is_up(directory))
    with running:
        assert eventually(lambda: len(those("leader", directory)) == 2)


def test_the_environment_the_directory_and_the_log_are_as_given(tmp_path) -> None:
    log = tmp_path / "log"
    log.write_text("before\n")
    command = ["sh", "-c", "pwd; echo $SHOP >&2; cat"]
    options = {"env": {"SHOP": "books"}, "cwd": tmp_path, "log": log}
    with Chaos(command, every=NEVER, **options) as chaos:
        assert eventually(lambda: chaos.restarts)
    assert log.read_text().splitlines()[:3] == ["before", str(tmp_path), "books"]


def test_a_process_may_have_any_name(tmp_path) -> None:
    script = tmp_path / "x) S 1 1 ("
    script.write_text("#!/bin/sh\nwhile :; do sleep 3600; done\n")
    script.chmod(0o700)
    with Chaos([script], every=SOON, whom="tree") as chaos:
        assert eventually(lambda: chaos.restarts >= 3)
    assert all(kill.pids for kill in chaos.kills)


@pytest.mark.parametrize(
    "wrong",
    [{"every": (2.0, 1.0)}, {"every": (-1.0, 1.0)}, {"whom": "child"}],
)
def test_what_makes_no_sense_is_refused(wrong) -> None:
    with pytest.raises(ValueError, match="must be"):
        Chaos(["true"], **wrong)


def test_a_command_that_is_not_there_is_said() -> None:
    with pytest.raises(FileNotFoundError):
        Chaos(["/no/such/command"]).start()
