"""A fake bank: somebody else's page, which knows the shop by its webhook alone.

``invoice`` is what a shop asks to be paid, ``seal`` proves who wrote a message,
``notice`` tells the shop what the customer did.
"""
