"""Shops that somebody else wrote: each is told apart from its framework's signals."""
