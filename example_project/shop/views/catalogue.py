from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import Http404
from django.shortcuts import get_object_or_404, render
from django.views.decorators.http import require_safe

from ..forms import BuyNowForm
from ..models import Product

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse


@require_safe
def landing(request: HttpRequest) -> HttpResponse:
    return render(request, "shop/landing.html", {"products": Product.objects.all()})


@require_safe
def product(request: HttpRequest, sku: str) -> HttpResponse:
    shown = get_object_or_404(Product, sku=sku)
    form = BuyNowForm(initial={"sku": shown.sku})
    return render(request, "shop/product.html", {"product": shown, "form": form})


def refused(request: HttpRequest, form: BuyNowForm) -> HttpResponse:
    """The product's page again, with the errors of the form."""
    shown = form.cleaned_data.get("sku")
    if shown is None:
        raise Http404("No such product.")
    context = {"product": shown, "form": form}
    return render(request, "shop/product.html", context, status=400)
