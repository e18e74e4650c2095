"""``manage.py demo``: a customer's way from the ad to Connectly, with real processes.

``run`` is the whole demo. ``stage`` starts the processes (``broker``, ``supervisor``,
``child``, ``ports``), ``history`` fills the days before from a ``plan``, ``customer``
places an order, ``evidence`` finds what was sent, and ``report`` shows it
(``verbatim``: with each number as it was sent).
"""
