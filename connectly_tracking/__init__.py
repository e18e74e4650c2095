"""Report the purchases of Click-to-WhatsApp customers to Connectly.

Two wings that meet at one table. The shop wing (``middleware``, ``attribution``,
``receivers``, ``outbox``) runs inside web requests: it keeps the five landing
parameters and records each order in the order's own transaction. The worker wing
(``tasks``, ``delivery``, ``api.client``) sends what is recorded. The ``Conversion`` row
is the truth; a broker message only says that there is something in the table.
"""

__version__ = "1.0.0"
