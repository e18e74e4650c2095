from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from .cart import MOST
from .models import Product


class PiecesForm(forms.Form):
    """A quantity of one product."""

    sku = forms.ModelChoiceField(
        Product.objects.all(), to_field_name="sku", widget=forms.HiddenInput
    )
    quantity = forms.IntegerField(
        label=_("Quantity"), min_value=1, max_value=MOST, initial=1
    )


class CartForm(PiecesForm):
    """The new quantity in the cart; 0 removes the product."""

    quantity = forms.IntegerField(label=_("Quantity"), min_value=0, max_value=MOST)


class EmailForm(forms.Form):
    email = forms.EmailField(
        label=_("E-mail"),
        required=False,
        help_text=_("For the receipt; may stay empty."),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )


class BuyNowForm(EmailForm, PiecesForm):
    """An order of one product."""


class PaymentForm(EmailForm):
    CARD, BANK = "card", "bank"

    method = forms.ChoiceField(
        choices=[(CARD, _("Card")), (BANK, _("Bank"))],
        initial=CARD,
        widget=forms.RadioSelect,
    )
