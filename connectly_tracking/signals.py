"""The signals a shop sends, and those it can listen to."""

from __future__ import annotations

from django.dispatch import Signal

# Sent by the shop where an order is paid. Arguments: order (goes through ORDER_ADAPTER)
# or purchase (a Purchase); optionally request, user, attribution, token, business,
# using.
order_completed = Signal()

# Sent by the shop where an order is cancelled. Arguments: order_id (as Purchase was
# given it); optionally business, using.
order_cancelled = Signal()

# Sent by the shop where a product is looked at. Arguments: request, view (a
# ViewContent).
content_viewed = Signal()

# Sent after a click was kept. Arguments: request, attribution (an Attribution).
attribution_captured = Signal()

# Sent by the worker after Connectly confirmed. Arguments: conversion.
conversion_delivered = Signal()

# Sent by the worker when a conversion is rejected or expires. Arguments: conversion.
conversion_failed = Signal()

# Sent by the worker when a business is paused, or for another reason than before.
# Arguments: business, reason (a code of Circuit.Reason), detail (the answer's words).
delivery_paused = Signal()

# Sent by the worker when a paused business flows again. Arguments: business.
delivery_resumed = Signal()
