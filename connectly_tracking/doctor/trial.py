"""What may be sent from here: an event that must be refused, or a test purchase."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Self

from ..api.body import body_json, encode, payload_json
from ..api.landing import Landing
from ..api.payload import PurchasePayload
from ..events import Item, Purchase

if TYPE_CHECKING:
    from ..conf import Business

NAME: Final = "connectly-doctor"
MADE_UP: Final = Landing(
    cnct_tracking_id=NAME, sendout_id=NAME, ctwa_clid=NAME, ad_id=NAME
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One POST to one business; it is recorded nowhere."""

    business: Business
    body: str
    must_be_refused: bool

    @classmethod
    def probe(cls, business: Business) -> Self:
        """Against three documented rules at once: no such event, no click, no payload.

        So there is nothing in it that could be credited to a campaign.
        """
        body = encode({"event_name": NAME})
        return cls(business=business, body=body, must_be_refused=True)

    @classmethod
    def purchase(cls, business: Business, click: Landing | None = None) -> Self:
        """One of 1.00 USD, placed now, under an order id of its own."""
        now = int(time.time())
        purchase = Purchase(
            order_id=f"{NAME}-{now}",
            value=Decimal("1.00"),
            currency="USD",
            event_time=now,
            contents=[Item(id=NAME, quantity=1, item_price=Decimal("1.00"))],
        )
        at = datetime.fromtimestamp(now, UTC)
        payload = PurchasePayload.from_purchase(purchase, now=at, zone=UTC)
        body = body_json("Purchase", payload_json(payload), click or MADE_UP)
        return cls(business=business, body=body, must_be_refused=False)
