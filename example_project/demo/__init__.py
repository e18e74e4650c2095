"""``manage.py demo``: one customer's way from the ad to Connectly, with real processes.

Top to bottom: ``run`` is the whole way; ``stage`` what runs (``broker``, and below it
``supervisor``, ``child``, ``ports``), ``history`` who came before, by a ``plan``,
``customer`` who comes, ``evidence`` what became of it, ``report`` how that is told
(``verbatim``: with each number as it was sent).
"""
