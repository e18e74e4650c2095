"""Products and orders."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar
from uuid import uuid4

from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal


class Product(models.Model):
    sku = models.SlugField("SKU", max_length=64, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    currency = models.CharField(max_length=3, default="USD", help_text="ISO 4217.")
    picture = models.CharField(
        max_length=200,
        default="shop/pictures/parcel.svg",
        help_text="A static file's name.",
    )

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:product", args=[self.sku])


class OrderQuerySet(models.QuerySet["Order"]):
    def place(self, product: Product, *, quantity: int, email: str = "") -> Order:
        """Create an order of one product."""
        return self.place_all([(product, quantity)], email=email)

    def place_all(
        self, pieces: Iterable[tuple[Product, int]], *, email: str = ""
    ) -> Order:
        """Create an order with its lines, in one transaction and one currency."""
        pieces = list(pieces)
        (currency,) = {product.currency for product, _ in pieces}
        with transaction.atomic(using=self.db):
            order = self.create(
                number=uuid4().hex,
                total=sum(product.price * quantity for product, quantity in pieces),
                currency=currency,
                email=email,
            )
            # From the primary key, which is unique.
            order.number = f"ORD-{1000 + order.pk}"
            order.save(update_fields=["number"])
            for product, quantity in pieces:
                order.lines.create(
                    sku=product.sku,
                    name=product.name,
                    quantity=quantity,
                    price=product.price,
                )
        return order


class Order(models.Model):
    number = models.CharField(max_length=32, unique=True, editable=False)
    total = models.DecimalField(max_digits=12, decimal_places=2)
    currency = models.CharField(max_length=3, help_text="ISO 4217.")
    email = models.EmailField(blank=True)
    placed_at = models.DateTimeField(default=timezone.now)
    paid_at = models.DateTimeField(null=True, blank=True)
    cancelled_at = models.DateTimeField(null=True, blank=True)

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return self.number

    def get_absolute_url(self) -> str:
        return reverse("shop:thank_you", args=[self.number])

    @property
    def awaits_payment(self) -> bool:
        return self.paid_at is None and self.cancelled_at is None

    def pay(self) -> None:
        self.paid_at = timezone.now()
        self.save(update_fields=["paid_at"])

    def cancel(self) -> None:
        self.cancelled_at = timezone.now()
        self.save(update_fields=["cancelled_at"])


class OrderLine(models.Model):
    """A copy of the product as it was sold."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    sku = models.CharField("SKU", max_length=64)
    name = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField()
    price = models.DecimalField(
        max_digits=10, decimal_places=2, help_text="Of one piece."
    )

    class Meta:
        ordering: ClassVar = ["pk"]

    def __str__(self) -> str:
        return f"{self.quantity} x {self.name}"

    @property
    def total(self) -> Decimal:
        return self.price * self.quantity
