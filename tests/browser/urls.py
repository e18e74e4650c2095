from __future__ import annotations

from django.urls import include, path

from . import views

urlpatterns = [
    path("connectly/", include("connectly_tracking.urls")),
    path("slow/", views.slow_capture),
    path("another/", views.another),
    path("shown/", views.shown),
    path("campaign/", views.campaign),
    path("message/", views.message),
    path("pay/<str:token>/", views.pay),
    path("pay/", views.pay),
    path("", include("example_project.urls")),
]
