"""What is sold, and what was bought."""

from __future__ import annotations

from typing import ClassVar
from uuid import uuid4

from django.db import models, transaction
from django.urls import reverse
from django.utils import timezone


class Product(models.Model):
    sku = models.SlugField("SKU", max_length=64, unique=True)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    price = models.DecimalField(max_digits=10, decimal_places=2)
    currency = models.CharField(max_length=3, default="USD", help_text="ISO 4217.")

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("shop:product", args=[self.sku])


class OrderQuerySet(models.QuerySet["Order"]):
    def place(self, product: Product, *, quantity: int, email: str = "") -> Order:
        """An order and its line, both or neither."""
        with transaction.atomic(using=self.db):
            order = self.create(
                number=uuid4().hex,
                total=product.price * quantity,
                currency=product.currency,
                email=email,
            )
            # By the key, since the database gives no two orders the same one.
            order.number = f"ORD-{1000 + order.pk}"
            order.save(update_fields=["number"])
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

    objects = OrderQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-pk"]

    def __str__(self) -> str:
        return self.number

    def get_absolute_url(self) -> str:
        return reverse("shop:thank_you", args=[self.number])


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
