"""The signals a shop sends, and those it can listen to."""

from __future__ import annotations

from django.dispatch import Signal

# Sent by the shop where an order is paid. Arguments: order (goes through ORDER_ADAPTER)
# or purchase (a Purchase); optionally request, user, attribution, business, using.
order_completed = Signal()

# Sent after a click was kept. Arguments: request, attribution (an Attribution).
attribution_captured = Signal()

# Sent by the worker after Connectly confirmed. Arguments: conversion.
conversion_delivered = Signal()

# Sent by the worker when a conversion is given up. Arguments: conversion.
conversion_failed = Signal()

# Sent by the worker when a business is paused. Arguments: business, reason, detail.
delivery_paused = Signal()

# Sent by the worker when a paused business flows again. Arguments: business.
delivery_resumed = Signal()
