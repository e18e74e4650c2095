from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("bank/", include("example_project.bank.urls")),
    path("", include("example_project.shop.urls")),
]
