"""The signals that a shop sends, and those it can listen to."""

from __future__ import annotations

from django.dispatch import Signal

# Send this when an order is paid. Arguments: order (passed to ORDER_ADAPTER) or
# purchase (a Purchase); optional: request, user, attribution, token, business, using.
order_completed = Signal()

# Send this when an order is cancelled. Arguments: order_id (as passed to Purchase);
# optional: business, using.
order_cancelled = Signal()

# Send this when a product page is viewed. Arguments: request, view (a ViewContent).
content_viewed = Signal()

# Sent after a click was kept. Arguments: request, attribution (an Attribution).
attribution_captured = Signal()

# Sent by the worker after Connectly confirmed an event. Arguments: conversion.
conversion_delivered = Signal()

# Sent by the worker when a conversion is rejected or expires. Arguments: conversion.
conversion_failed = Signal()

# Sent when a business is paused, by the worker or by a person, or when the reason of
# its pause changes.
# Arguments: business, reason (a code of Circuit.Reason), detail (Connectly's answer).
delivery_paused = Signal()

# Sent by ``watch`` when something begins to be wrong, and when it is over. Arguments:
# finding (with code, level, text, remedy, business, since, is_over).
alert = Signal()

# Sent when the pause of a business ends, in the worker or by a person. Arguments:
# business.
delivery_resumed = Signal()
