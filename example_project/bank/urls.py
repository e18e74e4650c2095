from __future__ import annotations

from django.urls import path

from . import views

app_name = "bank"
urlpatterns = [path("<str:sealed>/", views.pay, name="pay")]
