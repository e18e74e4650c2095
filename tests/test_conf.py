from __future__ import annotations

import pickle
from datetime import timedelta
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from connectly_tracking.api.secret import Secret
from connectly_tracking.conf import NAMES, conf

BUSINESS_ID = "3f2b8c1e-5d4a-4b6f-9a7e-0c1d2e3f4a5b"


def adapter(order: object) -> object:
    return order


@pytest.fixture
def only(settings: Any) -> Any:
    """Settings of ours that hold this and nothing else."""

    def only(**given: object) -> None:
        settings.CONNECTLY_TRACKING = given

    return only


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("BUSINESS_RESOLVER", None),
        ("BASE_URL", "https://api.connectly.ai"),
        ("SEND", True),
        ("ORDER_ADAPTER", None),
        ("ATTRIBUTION_WINDOW", timedelta(days=28)),
        ("RECORD_UNATTRIBUTED", True),
        ("STRICT", False),
        ("LEASE", 120),
        ("DEADLINE", 20),
        ("CONNECT_TIMEOUT", 3.05),
        ("READ_TIMEOUT", 10),
        ("RETRY_SCHEDULE", (30, 60, 300, 900, 3600, 10800, 21600)),
        ("BATCH", 64),
        ("THREADS", 16),
        ("PROXIES", None),
        ("CA_BUNDLE", None),
        ("ALERTS", None),
        ("RETENTION", timedelta(days=90)),
        ("QUEUE", None),
        ("OSCAR_PURCHASE_STATUS", None),
        ("OSCAR_CANCEL_STATUSES", ("Cancelled",)),
        ("BUSINESSES", {"default": {"BUSINESS_ID": None, "API_KEY": None}}),
    ],
)
def test_the_defaults_are_the_documented_ones(
    only: Any, name: str, default: object
) -> None:
    only()
    assert getattr(conf, name) == default


def test_strict_follows_debug(only: Any, settings: Any) -> None:
    only()
    settings.DEBUG = True
    assert conf.STRICT is True


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("BUSINESS_ID", BUSINESS_ID.upper(), BUSINESS_ID),
        ("BUSINESS_RESOLVER", f"{__name__}.adapter", adapter),
        ("ORDER_ADAPTER", adapter, adapter),
        ("BASE_URL", "https://api.example.org/", "https://api.example.org"),
        ("BASE_URL", "http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("BASE_URL", "http://[::1]:8080", "http://[::1]:8080"),
        ("SEND", False, False),
        ("ATTRIBUTION_WINDOW", 3600, timedelta(hours=1)),
        ("ATTRIBUTION_WINDOW", None, None),
        ("ATTRIBUTION_TOUCH", "first", "first"),
        ("CONSENT", adapter, adapter),
        ("CLICK_COOKIE", "my_click", "my_click"),
        ("CLICK_COOKIE", None, None),
        ("HOLD", 0, 0.0),
        ("HOLD", timedelta(minutes=2), 120.0),
        ("MAX_EVENT_AGE", 3600, timedelta(hours=1)),
        ("MAX_EVENT_AGE", None, None),
        ("RECORD_UNATTRIBUTED", False, False),
        ("STRICT", True, True),
        ("LEASE", timedelta(minutes=5), 300.0),
        ("DEADLINE", 5, 5.0),
        ("CONNECT_TIMEOUT", 1, 1.0),
        ("READ_TIMEOUT", 2.5, 2.5),
        ("RETRY_SCHEDULE", [1, timedelta(minutes=1)], (1.0, 60.0)),
        ("PROBE_SCHEDULE", (5, 10), (5.0, 10.0)),
        ("BATCH", 1, 1),
        ("THREADS", 128, 128),
        ("PROXIES", {}, {}),
        ("PROXIES", {"https": "http://proxy:3128"}, {"https": "http://proxy:3128"}),
        ("CA_BUNDLE", __file__, __file__),
        ("ALERTS", "mail_admins", "mail_admins"),
        ("RETENTION", timedelta(days=1), timedelta(days=1)),
        ("QUEUE", "reports", "reports"),
        ("OSCAR_PURCHASE_STATUS", "Paid", "Paid"),
        ("OSCAR_CANCEL_STATUSES", ["Cancelled", "Void"], ("Cancelled", "Void")),
        ("OSCAR_CANCEL_STATUSES", (), ()),
        (
            "BUSINESSES",
            {"br": {"API_KEY": "k"}},
            {"br": {"API_KEY": "k"}},
        ),
    ],
)
def test_what_is_given_is_read(
    only: Any, name: str, given: object, read: object
) -> None:
    only(**{name: given})
    assert getattr(conf, name) == read


BAD_CLOCKS = [
    0,
    -1,
    "10",
    True,
    float("nan"),
    float("inf"),
    None,
    timedelta(0),
    10**400,
]
BAD_URLS = [
    None,
    7,
    "",
    "api.connectly.ai",
    "ftp://api.connectly.ai",
    "http://api.connectly.ai",
    "https://",
    "https://user:password@api.connectly.ai",
    "https://api.connectly.ai?a=1",
    "https://api.connectly.ai#a",
    "https://api.connectly.ai ",
    "https://api.connectly.ai:port",
    "https://169.254.169.254",
    "https://[fe80::1]",
    "http://localhost.evil.example",
]


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *[("BASE_URL", url) for url in BAD_URLS],
        *[
            (name, clock)
            for name in ("LEASE", "DEADLINE", "CONNECT_TIMEOUT", "READ_TIMEOUT")
            for clock in BAD_CLOCKS
        ],
        *[("RETENTION", clock) for clock in BAD_CLOCKS],
        *[("ATTRIBUTION_WINDOW", clock) for clock in BAD_CLOCKS if clock is not None],
        *[
            ("RETRY_SCHEDULE", schedule)
            for schedule in ([], None, 30, "30", [60, 30], [30, "60"], [0])
        ],
        *[
            (name, count)
            for name in ("BATCH", "THREADS")
            for count in (0, -1, 1.5, "16", True, None, 100_000)
        ],
        *[
            (name, flag)
            for name in ("SEND", "STRICT", "RECORD_UNATTRIBUTED")
            for flag in (None, 1, "yes")
        ],
        *[
            (name, value)
            for name in ("ORDER_ADAPTER", "BUSINESS_RESOLVER", "CONSENT")
            for value in (7, "no.such.module", "os", f"{__name__}.nothing")
        ],
        *[("ATTRIBUTION_TOUCH", touch) for touch in ("Last", "middle", None, 1)],
        *[("CLICK_COOKIE", name) for name in ("", "a b", "a;b", "é", "a=b", 7, b"a")],
        ("PROXIES", "http://proxy"),
        ("PROXIES", {"https": None}),
        ("CA_BUNDLE", "no/such/file"),
        ("CA_BUNDLE", 7),
        *[("ALERTS", bad) for bad in ("mail", "no.such", 7)],
        ("QUEUE", ""),
        ("QUEUE", 7),
        *[("OSCAR_PURCHASE_STATUS", status) for status in ("", " ", 7, ["Paid"])],
        *[("OSCAR_CANCEL_STATUSES", wrong) for wrong in ("Cancelled", None, [7], [""])],
        ("BUSINESS_ID", "not-a-uuid"),
        ("BUSINESS_ID", ""),
        ("BUSINESSES", []),
        ("BUSINESSES", {"br": "key"}),
        ("BUSINESSES", {"b r": {}}),
        ("BUSINESSES", {7: {}}),
        ("BUSINESSES", {"default": {}}),
        ("BUSINESSES", {"Default": {}}),
        ("BUSINESSES", {"br": {}, "mx": {}, "BR": {}}),
    ],
)
def test_what_is_wrong_is_named_in_words(only: Any, name: str, given: object) -> None:
    only(**{name: given})
    with pytest.raises(ImproperlyConfigured, match=f"CONNECTLY_TRACKING\\['{name}'\\]"):
        getattr(conf, name)


SECONDS = "must be a timedelta or a number of seconds"


@pytest.mark.parametrize(
    ("name", "given", "problem"),
    [
        ("SEND", 1, "must be True or False"),
        ("BATCH", 0, "must be a whole number from 1 to 1000"),
        ("LEASE", 0, f"{SECONDS}, greater than 0, and at most 100 years"),
        ("HOLD", -1, f"{SECONDS}, 0 or greater, and at most 100 years"),
        ("LEASE", 1e10, f"{SECONDS}, greater than 0, and at most 100 years"),
        (
            "RETRY_SCHEDULE",
            30,
            "must be a list of durations, such as [30, 60, 300]",
        ),
        ("RETRY_SCHEDULE", [60, 30], "must be in ascending order"),
        (
            "CONSENT",
            7,
            'must be a callable or its path, such as "shop.tracking.consent"',
        ),
        ("QUEUE", "", 'must be the name of a queue, such as "connectly"'),
        ("CA_BUNDLE", "no/such/file", "must be the path of an existing file"),
        ("BASE_URL", "ftp://x", "must begin with https:// and contain a host name"),
        ("BASE_URL", "http://x", "must use https; http would expose the API key"),
        ("BUSINESS_ID", "x", "must be a UUID"),
        ("BUSINESS_ID", None, "is missing; Connectly shows it next to the API key"),
        (
            "API_KEY",
            None,
            "is missing; create one in Connectly under Settings, General",
        ),
        ("API_KEY", 7, "must be a string"),
        ("API_KEY", "key\n", "must not begin or end with white space"),
        ("API_KEY", "kéy", "must contain only printable ASCII characters"),
    ],
)
def test_a_message_is_the_name_of_the_setting_and_what_it_must_be(
    only: Any, name: str, given: object, problem: str
) -> None:
    only(**{name: given})
    with pytest.raises(ImproperlyConfigured) as raised:
        getattr(conf, name)
    assert str(raised.value) == f"CONNECTLY_TRACKING['{name}'] {problem}."


@pytest.mark.parametrize(
    "key", [None, "", "  ", "secret\n", " secret", 7, "schlüssel", "a\x00b", b"secret"]
)
def test_a_key_that_no_header_can_carry_is_refused_and_not_shown(
    only: Any, key: object
) -> None:
    only(API_KEY=key)
    with pytest.raises(ImproperlyConfigured) as raised:
        _ = conf.API_KEY
    assert "secret" not in str(raised.value)


def test_a_key_may_come_from_a_callable(only: Any) -> None:
    only(API_KEY=lambda: "from-the-vault")
    assert conf.API_KEY.reveal() == "from-the-vault"


def test_a_callable_that_fails_is_a_fault_of_the_settings(only: Any) -> None:
    def vault() -> str:
        raise ConnectionError("secret")

    only(API_KEY=vault)
    with pytest.raises(ImproperlyConfigured, match="ConnectionError") as raised:
        _ = conf.API_KEY
    assert "secret" not in str(raised.value)


def test_a_business_carries_its_own_key_out_of_sight(only: Any) -> None:
    only(BUSINESSES={"br": {"BUSINESS_ID": BUSINESS_ID, "API_KEY": "secret"}})
    business = conf.business("br")
    assert business.business_id == BUSINESS_ID
    assert business.api_key.reveal() == "secret"
    assert "secret" not in repr(business)
    assert pickle.loads(pickle.dumps(business.api_key)).reveal() == "***"
    assert isinstance(business.api_key, Secret)


@pytest.mark.parametrize(
    ("given", "aliases"),
    [
        ({}, ["default"]),
        ({"BUSINESSES": {}}, ["default"]),
        ({"BUSINESSES": {"br": {}}}, ["br"]),
        # As os.environ.get() leaves them.
        ({"BUSINESS_ID": None, "BUSINESSES": {"br": {}}}, ["default", "br"]),
        ({"API_KEY": None, "BUSINESSES": {"br": {}}}, ["default", "br"]),
        ({"API_KEY": "", "BUSINESSES": {"br": {}}}, ["default", "br"]),
    ],
)
def test_the_default_business_is_one_if_it_is_named_at_all(
    only: Any, given: dict[str, object], aliases: list[str]
) -> None:
    only(**given)
    assert list(conf.BUSINESSES) == aliases


def test_a_business_that_is_not_named_is_a_fault(only: Any) -> None:
    only(BUSINESSES={"br": {}})
    with pytest.raises(ImproperlyConfigured, match="no business 'mx'"):
        conf.business("mx")
    with pytest.raises(ImproperlyConfigured, match="BUSINESS_ID"):
        conf.business("br")


def test_the_settings_must_be_a_dictionary(settings: Any) -> None:
    settings.CONNECTLY_TRACKING = ["SEND"]
    with pytest.raises(ImproperlyConfigured, match="dictionary"):
        _ = conf.SEND


def test_without_any_settings_the_defaults_hold(settings: Any) -> None:
    del settings.CONNECTLY_TRACKING
    assert conf.SEND is True


def test_every_setting_has_words_of_its_own() -> None:
    for name in NAMES:
        assert getattr(type(conf), name).__doc__


def test_a_snapshot_is_read_once_and_does_not_change(only: Any, settings: Any) -> None:
    only(BATCH=7, HOLD=0)
    snapshot = conf.snapshot()
    only(BATCH=8)
    assert (snapshot.BATCH, conf.BATCH) == (7, 8)
    settings.CONNECTLY_TRACKING = "not a dictionary"
    assert snapshot.BATCH == 7
    with pytest.raises(TypeError):
        snapshot.raw["BATCH"] = 9  # type: ignore[index]


def test_a_snapshot_does_not_see_the_dictionary_change(settings: Any) -> None:
    settings.CONNECTLY_TRACKING = {"BATCH": 7}
    snapshot = conf.snapshot()
    settings.CONNECTLY_TRACKING["BATCH"] = 8
    assert snapshot.BATCH == 7


def test_a_snapshot_raises_only_when_a_wrong_setting_is_read(only: Any) -> None:
    only(BATCH="many", SEND=False)
    snapshot = conf.snapshot()
    assert snapshot.SEND is False
    with pytest.raises(ImproperlyConfigured, match="BATCH"):
        _ = snapshot.BATCH


def test_a_snapshot_of_settings_that_are_not_a_dictionary_raises(settings: Any) -> None:
    settings.CONNECTLY_TRACKING = ["SEND"]
    with pytest.raises(ImproperlyConfigured, match="dictionary"):
        conf.snapshot()


def test_a_snapshot_keeps_the_adapter_of_a_contrib_app(
    only: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    only()
    monkeypatch.setattr(conf, "default_adapter", adapter, raising=False)
    assert conf.snapshot().ORDER_ADAPTER is adapter


@pytest.mark.parametrize(
    "name",
    [
        "BASE_URL",
        "BATCH",
        "CA_BUNDLE",
        "CONNECT_TIMEOUT",
        "DEADLINE",
        "LEASE",
        "MAX_EVENT_AGE",
        "PROBE_SCHEDULE",
        "PROXIES",
        "READ_TIMEOUT",
        "RETRY_SCHEDULE",
        "THREADS",
    ],
)
def test_a_setting_that_every_delivery_needs_is_validated_before_it(
    only: Any, name: str
) -> None:
    only()
    conf.validate_for_delivery()
    only(**{name: "x"})
    with pytest.raises(ImproperlyConfigured, match=name):
        conf.validate_for_delivery()


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ({"BUSINESS_ID": BUSINESS_ID, "API_KEY": "secret"}, None),
        ({"API_KEY": "secret"}, "['BUSINESSES']['br']['BUSINESS_ID'] is missing"),
        ({"BUSINESS_ID": BUSINESS_ID}, "['BUSINESSES']['br']['API_KEY'] is missing"),
        ({"BUSINESS_ID": BUSINESS_ID, "API_KEY": ""}, "['API_KEY'] is missing"),
        ({"BUSINESS_ID": BUSINESS_ID, "API_KEY": "secret "}, "white space"),
        ({"BUSINESS_ID": "x", "API_KEY": "secret"}, "must be a UUID"),
    ],
)
def test_the_problem_with_credentials_is_said_without_the_key(
    only: Any, entry: dict[str, str], problem: str | None
) -> None:
    only(BUSINESSES={"br": entry})
    found = conf.credentials_problem("br")
    assert found == "" if problem is None else problem in found
    assert "secret" not in found


def test_credentials_of_an_unknown_business_are_a_problem(only: Any) -> None:
    only(BUSINESSES={"br": {}})
    assert "no business 'mx'" in conf.credentials_problem("mx")


def test_a_callable_key_is_present_and_never_called(only: Any) -> None:
    def vault() -> str:
        raise AssertionError("called")

    only(BUSINESS_ID=BUSINESS_ID, API_KEY=vault)
    assert conf.credentials_problem("default") == ""
