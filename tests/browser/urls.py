from __future__ import annotations

from django.apps import apps
from django.urls import include, path

from . import views

#: A theme that has views of its own.
THEME = ["grappelli"] if apps.is_installed("grappelli") else []

urlpatterns = [
    *(path(f"{name}/", include(f"{name}.urls")) for name in THEME),
    path("connectly/", include("connectly_tracking.urls")),
    path("slow/", views.slow_capture),
    path("another/", views.another),
    path("shown/", views.shown),
    path("campaign/", views.campaign),
    path("promo/summer/", views.campaign),
    path("tidied/", views.tidied),
    path("prepare/", views.prepare),
    path("landed/", views.landed),
    path("moved/", views.moved),
    path("order/", views.order),
    path("done/", views.done),
    path("slow-page/", views.slow_page),
    path("began/", views.began),
    path("message/", views.message),
    path("pay/<str:token>/", views.pay),
    path("pay/", views.pay),
    path("", include("example_project.urls")),
]
