"""The peer: the way most shops would write it, with one task for each row."""

from __future__ import annotations

from celery import shared_task
from django.utils import timezone

from connectly_tracking.api.client import Client
from connectly_tracking.api.verdicts import Outcome
from connectly_tracking.conf import conf
from connectly_tracking.models import Conversion, State


@shared_task(name="benchmarks.send_one", ignore_result=True)
def send_one(pk: int) -> None:
    row = Conversion.objects.get(pk=pk)
    business = conf.business(row.business)
    client = Client(
        base_url=conf.BASE_URL, business_id=business.business_id, key=business.api_key
    )
    if client.post(row.body).outcome == Outcome.CONFIRMED:
        Conversion.objects.filter(pk=pk).update(
            state=State.DELIVERED, due_at=None, delivered_at=timezone.now()
        )
