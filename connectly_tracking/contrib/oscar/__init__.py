"""Reports the orders of a django-oscar shop: one line in ``INSTALLED_APPS``.

It uses Oscar's own signals: you fork no app and override no class.
"""
