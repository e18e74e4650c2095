"""``path("connectly/", include("connectly_tracking.urls"))``"""

from __future__ import annotations

from django.urls import path

from . import views

app_name = "connectly_tracking"
urlpatterns = [path("capture/", views.capture_endpoint, name="capture")]
