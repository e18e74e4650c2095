"""A fake bank on its own page, which knows the shop only by its webhook.

``invoice`` is a shop's request for a payment, ``seal`` signs a message, and ``notice``
tells the shop whether the customer paid.
"""
