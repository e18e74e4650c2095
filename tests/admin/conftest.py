from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.contrib.auth.models import Permission, User

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client


@pytest.fixture
def staff(client: Client) -> Callable[..., Client]:
    """Log in a staff user with these permissions only, by their codenames."""

    def log_in(*codenames: str) -> Client:
        user = User.objects.create_user("staff", is_staff=True)
        granted = Permission.objects.filter(codename__in=codenames)
        assert granted.count() == len(codenames)
        user.user_permissions.set(granted)
        client.force_login(user)
        return client

    return log_in
