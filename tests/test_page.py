"""Of the landing page, words and article numbers are kept, and secrets are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectly_tracking.attribution.page import kept_page
from connectly_tracking.models import MAX_PAGE, Attribution

from .conftest import TAGGED, cpu_time_below

if TYPE_CHECKING:
    from django.test import Client

KEPT = [
    "/",
    "/promo/summer/",
    "/2026/11/black-friday/",
    "/p/mug-blue-12/",
    "/p/levis-501-original-fit-jeans-00501a1234",
    "/product/iphone15promax256gb/",
    "/p/iPhone-15-Pro-Max-256GB-MU7A3QL/",
    "/p/Nike-Air-Max-90-CT4352-102/",
    "/SKU-AB12CD34EF56-XL/",
    "/catalogue/the-art-of-computer-programming-vol-1-3rd-edition_407/",
    "/de/artikel/4006381333931/",
    "/key-rings/red-2/",
    "/email-marketing/book-2/",
    "/p/B08N5WRWNW/",
    "/itm/256123456789/",
    "/products/MacBook-Pro-16-M3-Max-64GB-2TB/",
    "/collections/ss26/products/tee-0001-blk-xs",
    "/IMG_20261129_121314.jpg",
    "/gift/GIFT-9F3K-22XQ-7LMP/",
    "/donaudampfschifffahrtsgesellschaft/",
    "/login/",
    "/auth/google/",
    "/account/orders/17/",
    "/password/change/done/",
    "/codigo-postal/28013/",
    "/codigo-promocional/VERANO26/",
    "/palabra-clave/zapatos-2/",
    "/promocion/VERANO26/",
    "/promocao/dia-das-maes-2026/",
    "/producto/AB12CD/",
    "/produto/483920/",
    "/pedido/7821/",
    "/confirmar-pedido/7821/",
    "/carrito/2/",
    "/minha-conta/pedidos/17/",
    "/mi-cuenta/correo/3/",
    "/chaves-de-fenda/kit-6/",
    "/de/artikel/4711/",
    "/mot/7/",
    "/recuperar/contrasena/enviada/",
    "/" + "shoes/" * 60,
]
CUT = [
    ("/accounts/reset/MQ/c3f2a1-0123456789abcdef/", "/accounts/reset/***/***/"),
    ("/reset/MQ/set-password/", "/reset/***/set-password/"),
    ("/reset-password/Abc9/", "/reset-password/***/"),
    ("/account-confirm-email/MTc:1pQx:aB3_x9/", "/account-confirm-email/***/"),
    ("/verify/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiI.abcDEF123", "/verify/***"),
    ("/d/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NSJ9.aB3x/", "/d/***/"),
    ("/invite/Xk9fQ2/", "/invite/***/"),
    ("/unsubscribe/ABCDEF", "/unsubscribe/***"),
    ("/magic-link/x9/", "/magic-link/***/"),
    ("/confirm/8271/", "/confirm/***/"),
    ("/token/abcdefghijklmnopqrstuvwxyz", "/token/***"),
    ("/confirmar/483920/", "/confirmar/***/"),
    ("/recuperar/k3j9x2Qz/", "/recuperar/***/"),
    ("/invitacion/ab12cd34/", "/invitacion/***/"),
    ("/restablecer/AbCdEfGhIj/", "/restablecer/***/"),
    ("/restablecer/contraseña/Ab9/", "/restablecer/contrase%C3%B1a/***/"),
    ("/cuenta/confirmar-correo/MTc/", "/cuenta/confirmar-correo/***/"),
    ("/verificar/codigo/483920/", "/verificar/codigo/***/"),
    ("/olvide-mi-clave/x9/", "/olvide-mi-clave/***/"),
    ("/convite/ab12cd34/", "/convite/***/"),
    ("/conta/redefinir-senha/MQ/", "/conta/redefinir-senha/***/"),
    ("/esqueci-minha-senha/x9/", "/esqueci-minha-senha/***/"),
    ("/ativação/Ab9/", "/ativa%C3%A7%C3%A3o/***/"),
    ("/mot-de-passe/reinitialiser/Ab9/", "/mot-de-passe/reinitialiser/***/"),
    ("/réinitialiser/Ab9/", "/r%C3%A9initialiser/***/"),
    ("/passwort-vergessen/Ab9/", "/passwort-vergessen/***/"),
    ("/bestätigen/Ab9/", "/best%C3%A4tigen/***/"),
    ("/reimposta-password/Ab9/", "/reimposta-password/***/"),
    ("/s/d41d8cd98f00b204e9800998ecf8427e/a-1", "/s/***/***"),
    ("/o/550e8400-e29b-41d4-a716-446655440000/", "/o/***/"),
    ("/orders/7f3kQ9ZtLm2xPw8R/", "/orders/***/"),
    ("/p/kZ8vQm-2Lr_T9xWbEa4/", "/p/***/"),
    ("/u/ana@example.com/", "/u/***/"),
    ("/u/ana%40example.com/", "/u/***/"),
    ("/u/+5511999998888/", "/u/***/"),
    ("/s/01ARZ3NDEKTSV4RRFFQ69G5FAV/", "/s/***/"),
    ("/s/0ujtsYcgvSTl8PAuAdqWYSMnLOv/", "/s/***/"),
    ("/s/V1StGXR8_Z5jdHi6B-myT/", "/s/***/"),
    ("/shop;jsessionid=1A530637289A03B07199A44E8D531427/mug", "/***/mug"),
    ("/(S(lit3py55t21z5v55vlm25s55))/orders/", "/***/orders/"),
    ("/reset/Mg/bq2r5n-8f14e45fceea167a5a36dedd4bea2543/", "/reset/***/***/"),
    ("/cards/41111111111111111111/", "/cards/***/"),
]


@pytest.mark.parametrize("path", KEPT)
def test_what_an_analyst_needs_is_kept(path: str) -> None:
    assert kept_page(path) == path[:MAX_PAGE]


@pytest.mark.parametrize(("path", "kept"), CUT)
def test_what_looks_like_a_secret_is_not(path: str, kept: str) -> None:
    assert kept_page(path) == kept


def test_other_letters_are_quoted() -> None:
    assert kept_page("/niño rojo/") == "/ni%C3%B1o%20rojo/"


@pytest.mark.django_db
@pytest.mark.urls("tests.test_endpoint")
@pytest.mark.parametrize("road", ["page", "address", "referer"])
def test_on_each_road_the_click_is_kept_without_the_secret(
    client: Client, road: str
) -> None:
    path, query = "/accounts/reset/MQ/c3f2a1-0123456789abcdef/", TAGGED[1:]
    address = f"http://testserver{path}{query}"
    if road == "page":
        client.get(path + query)
    else:
        client.post(
            "/connectly/capture/",
            address if road == "address" else query[1:],
            content_type="text/plain",
            headers={"Referer": address} if road == "referer" else {},
        )
    assert Attribution.objects.get().page == "/accounts/reset/***/***/"


@given(st.text())
def test_any_path_has_a_page_that_every_column_can_hold(path: str) -> None:
    page = kept_page(path.encode(errors="replace").decode())
    assert page.isascii()
    assert page.isprintable()
    assert len(page) <= MAX_PAGE


@pytest.mark.parametrize("piece", ["a1", "af0", "A", "-", "/", "x-", "0", "%", "aB"])
def test_a_long_path_costs_little(piece: str) -> None:
    with cpu_time_below(0.05):
        kept_page("/" + piece * 20_000)
