from __future__ import annotations

from django import forms

from .models import Product


class CheckoutForm(forms.Form):
    """The whole cart: one product, some pieces of it."""

    sku = forms.ModelChoiceField(
        Product.objects.all(), to_field_name="sku", widget=forms.HiddenInput
    )
    quantity = forms.IntegerField(min_value=1, max_value=99, initial=1)
    email = forms.EmailField(
        label="E-mail", required=False, help_text="For the receipt; may stay empty."
    )
