"""Planned orders: when, what, from which click, and how each ends."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from connectly_tracking.api.landing import Landing
from connectly_tracking.delivery.settle import MAX_UNCONFIRMED
from connectly_tracking.models import Attribution
from example_project.shop.models import Product

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

DAYS: Final = 30
ORDERS: Final = 480
CAMPAIGNS: Final = tuple(
    str(uuid5(NAMESPACE_URL, f"https://shop.example/campaign/{number}"))
    for number in range(3)
)
ADS: Final = tuple(f"1202148392048{number:05}" for number in range(17_260, 17_272))
#: What they are called, and what was sent, delivered, read and clicked of each.
NAMES: Final = (
    ("Grand opening", 18_400, 17_950, 14_200, 1_460),
    ("Grinder launch", 9_200, 9_010, 7_340, 960),
    ("Kettle, Brazil", 6_100, 5_930, 4_480, 430),
)
AD_NAMES: Final = (
    "Barista, video",
    "Morning, carousel",
    "First cup, photo",
    "Neighbours, video",
    "Burrs, close-up",
    "Espresso, video",
    "Gift, photo",
    "Sound of grinding",
    "Pour over, video",
    "Gooseneck, photo",
    "Steam, carousel",
    "Sunday, video",
)
#: The currency of each campaign's country.
CURRENCIES: Final = ("USD", "USD", "BRL")
#: Clicks that bring no order.
VISITS: Final = 2_600
WINDOW: Final = timedelta(days=28)

#: How many of a thousand orders end in which way.
SHARES: Final = {
    "delivered": 620,
    "late": 50,
    "rejected": 24,
    "expired": 18,
    "not_attributed": 160,
    "outside_window": 38,
    "cancelled": 30,
    "consent_refused": 28,
    "incomplete_click": 16,
    "other_source": 10,
    "invalid": 6,
}
PENDING: Final = 7  # more, of the last hours
#: One each, since they are too rare for a random choice.
RARE: Final = (
    "click_after_order",
    "consent_pending",
    "consent_withdrawn",
    "sending_off",
    "unconfirmed",
    "internal",
)
#: The landing page of each campaign.
PAGES: Final = ("/", "/product/grinder-01/", "/product/kettle-goose/")
META: Final = (
    "(#100) Invalid parameter: ctwa_clid does not belong to this WhatsApp account",
    "(#2804019) The click id has expired and can no longer be attributed",
    "(#100) Missing permission: the dataset is not shared with this business",
    "(#2804050) The ad that was clicked has been deleted",
)
BUSY: Final = "504:upstream request timeout"
TROUBLES: Final = (
    ("502:upstream connect error or disconnect/reset before headers",),
    ("500:internal error", BUSY),
    (BUSY,),
    ("close",),
    ("garbage",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A planned order: when, what, and how it ends."""

    at: datetime
    end: str
    pieces: Sequence[tuple[Product, int]]
    click: Attribution | None
    answers: tuple[str, ...] = ()  # before the normal one


def plans_until(chance: random.Random, now: datetime) -> list[Plan]:
    products = list(Product.objects.order_by("sku"))
    ends = chance.choices(list(SHARES), list(SHARES.values()), k=ORDERS)
    plans = [_plan(chance, end, _moment(chance, end, now), products) for end in ends]
    for number in range(PENDING):
        # Late enough that the next attempt is not due while the demo runs.
        at = now - timedelta(minutes=95 + 17 * number)
        plan = _plan(chance, "pending", at, products)
        plans.append(replace(plan, answers=(BUSY,) * 6))
    plans += [_plan(chance, end, _moment(chance, end, now), products) for end in RARE]
    plans.append(_plan(chance, "sending", now - timedelta(minutes=90), products))
    return sorted(plans, key=lambda plan: plan.at)


def _moment(chance: random.Random, end: str, now: datetime) -> datetime:
    """More often lately, and in the evening."""
    most = DAYS - 1.5  # older orders are never sent
    least = 9.0 if end == "expired" else 0.3
    age = least + (most - least) * chance.random() ** 1.25
    at = now - timedelta(days=age)
    evening = at.replace(hour=min(23, int(chance.triangular(6, 24, 20))))
    return evening if now - evening > timedelta(hours=6) else at


def _plan(
    chance: random.Random, end: str, at: datetime, products: Sequence[Product]
) -> Plan:
    chosen = chance.sample(products, k=chance.choice((1, 1, 1, 2, 2, 3)))
    answers: tuple[str, ...] = ()
    if end == "rejected":
        answers = (f"400:{chance.choice(META)}",)
    elif end == "late":
        answers = chance.choice(TROUBLES)
    elif end == "unconfirmed":
        answers = ("garbage",) * MAX_UNCONFIRMED
    return Plan(
        at=at,
        end=end,
        pieces=[(product, chance.choice((1, 1, 1, 2))) for product in chosen],
        click=_click(chance, end, at),
        answers=answers,
    )


def visits_until(chance: random.Random, now: datetime) -> list[Attribution]:
    """Plan the clicks of customers who bought nothing."""
    clicks = []
    for _ in range(VISITS):
        click = _click(chance, "none", now - timedelta(days=DAYS * chance.random()))
        if click is not None:
            clicks.append(click)
    return clicks


def _click(chance: random.Random, end: str, at: datetime) -> Attribution | None:
    if end in ("not_attributed", "consent_refused", "consent_pending"):
        return None
    number = min(int(chance.expovariate(0.28)), len(ADS) - 1)
    campaign = number * len(CAMPAIGNS) // len(ADS)
    landing = Landing(
        cnct_tracking_id=_opaque(chance),
        sendout_id=CAMPAIGNS[campaign],
        ctwa_clid=f"ARA{_opaque(chance)}",
        ad_id="" if end == "incomplete_click" else ADS[number],
        attribution_source="newsletter" if end == "other_source" else "meta_ctwa",
    )
    ago = min(timedelta(minutes=chance.lognormvariate(3.4, 1.6)), WINDOW / 2)
    if end == "outside_window":
        ago = WINDOW + timedelta(days=chance.uniform(1, 12))
    elif end == "click_after_order":
        ago = -timedelta(minutes=50)
    return Attribution.from_landing(
        landing,
        id=UUID(int=chance.getrandbits(128), version=4),
        page=PAGES[campaign],
        captured_at=at - ago,
    )


def _opaque(chance: random.Random) -> str:
    return f"{chance.getrandbits(96):024x}-{chance.getrandbits(64):016x}"
