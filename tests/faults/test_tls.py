"""What a certificate costs that does not hold: nothing but time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from connectly_tracking.models import DeliveryAttempt

from ..client.certificates import CERTIFICATE, EXPIRED, PRIVATE_KEY
from .audit import audit
from .crew import PATIENT, dismiss, hire
from .process import until
from .tls import Front

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .shop import Shop


@pytest.fixture
def front(shop: Shop, tmp_path: Path) -> Iterator[Front]:
    with Front(shop.sandbox.url, tmp_path) as front:
        shop.configure(**PATIENT, PROBE_SCHEDULE=[0.5])
        shop.configure(BASE_URL=f"https://127.0.0.1:{front.port}")
        yield front


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.pem"
    path.write_text(CERTIFICATE)
    return path


def await_refusals(shop: Shop, front: Front, words: str) -> None:
    """Until several tries have failed; of none has the server seen a request."""
    tried = DeliveryAttempt.objects.exclude(finished_at=None)
    until(lambda: tried.count() >= 3)
    for attempt in tried:
        assert attempt.outcome == "not_sent"
        assert words in attempt.detail
    assert front.heard == b""
    assert shop.sandbox.received_count == 0


def audit_all(shop: Shop, told: list[str], front: Front) -> None:
    shop.until_quiet()
    audit(shop, told)
    assert shop.environ["CONNECTLY_API_KEY"].encode() in front.heard


def test_f27_with_a_certificate_that_signed_itself_nothing_is_sent(
    shop: Shop, front: Front, bundle: Path
) -> None:
    front.present(CERTIFICATE, PRIVATE_KEY)
    told = shop.orders(10)
    crew = hire(shop)
    await_refusals(shop, front, "certificate verify failed")
    dismiss(crew)
    shop.configure(CA_BUNDLE=str(bundle))
    hire(shop)
    audit_all(shop, told, front)


def test_f27_with_a_certificate_that_has_expired_nothing_is_sent(
    shop: Shop, front: Front, bundle: Path
) -> None:
    bundle.write_text(EXPIRED)  # so that only its age is against it
    shop.configure(CA_BUNDLE=str(bundle))
    front.present(EXPIRED, PRIVATE_KEY)
    told = shop.orders(10)
    hire(shop)
    await_refusals(shop, front, "certificate has expired")
    bundle.write_text(CERTIFICATE)
    front.present(CERTIFICATE, PRIVATE_KEY)
    audit_all(shop, told, front)


def test_f27_with_a_certificate_for_another_host_nothing_is_sent(
    shop: Shop, front: Front, bundle: Path
) -> None:
    right = f"https://127.0.0.1:{front.port}"
    shop.configure(
        CA_BUNDLE=str(bundle), BASE_URL=right.replace("127.0.0.1", "localhost")
    )
    front.present(CERTIFICATE, PRIVATE_KEY)
    told = shop.orders(10)
    crew = hire(shop)
    await_refusals(shop, front, "certificate is not valid for 'localhost'")
    dismiss(crew)
    shop.configure(BASE_URL=right)
    hire(shop)
    audit_all(shop, told, front)
