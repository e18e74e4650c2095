from __future__ import annotations

from django.urls import include, path

from . import views

urlpatterns = [
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
