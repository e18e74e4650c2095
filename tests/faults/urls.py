from __future__ import annotations

from django.urls import include, path

from . import checkouts

urlpatterns = [
    path("", include("example_project.urls")),
    path("checkouts/<slug:name>/", checkouts.checkout),
]
