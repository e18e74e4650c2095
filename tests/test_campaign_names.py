"""connectly_names reads names and counts, and never a customer."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from connectly_tracking.models import CampaignName

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db
EXPORT = """\
Sendout ID,Campaign Name,Status,Sent,Delivered,Read,Link Clicks,Phone
send-1,Black Friday,done,"1,200",1100,900,80,+5491155550100
send-2,"Mugs, again",done,300,-,,7,+5491155550101
"""


def run(tmp_path: Path, text: str | bytes, *options: str) -> str:
    file = tmp_path / "names.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = StringIO()
    call_command("connectly_names", "--csv", str(file), *options, stdout=out)
    return out.getvalue().strip()


def stored() -> list[tuple[Any, ...]]:
    fields = ("kind", "id", "name", "sent", "delivered", "read", "link_clicks")
    return [*CampaignName.objects.order_by("id").values_list(*fields)]


def test_connectlys_export_is_read_by_its_heads(tmp_path: Path) -> None:
    assert run(tmp_path, EXPORT) == "2 names are new, 0 changed, 0 the same."
    assert stored() == [
        ("campaign", "send-1", "Black Friday", 1200, 1100, 900, 80),
        ("campaign", "send-2", "Mugs, again", 300, None, None, 7),
    ]
    assert run(tmp_path, EXPORT) == "0 names are new, 0 changed, 2 the same."
    assert run(tmp_path, EXPORT.replace("80,", "81,")).startswith(
        "0 names are new, 1 changed"
    )


def test_a_name_alone_keeps_the_counts(tmp_path: Path) -> None:
    run(tmp_path, EXPORT)
    run(tmp_path, "sendout_id,campaign_name\nsend-1,Cyber Monday\n")
    assert stored()[0][2:4] == ("Cyber Monday", 1200)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("ad_id,name\n1202,Mug\n", "ad"),
        ("ad_id;ad name\r\n1202;Mug\r\n", "ad"),
        ("\ufeffid\tlabel\n1202\tMug\n", "campaign"),
        ("a,b\n\n1202,Mug\n,\n", "campaign"),
        ("name,ad_id\nMug,1202", "ad"),
        ("name,number\nMug,1202\n", "campaign"),
        ("Title;Id\nMug;1202\n", "campaign"),
    ],
)
def test_any_two_columns_are_names(tmp_path: Path, text: str, kind: str) -> None:
    run(tmp_path, text)
    assert [row[:3] for row in stored()] == [(kind, "1202", "Mug")]
    run(tmp_path, text, "--kind", "ad")
    assert stored()[0][0] == "ad"


BOTH = "campaign_id,campaign_name,ad_id,ad_name\nsend-1,Sale,1202,Mug\n"


@pytest.mark.parametrize(
    ("text", "options", "found"),
    [
        (BOTH, ["--kind", "ad"], ("ad", "1202", "Mug")),
        (BOTH, ["--kind", "campaign"], ("campaign", "send-1", "Sale")),
        ("campaign_id,ad_id,ad_name\nsend-1,1202,Mug\n", [], ("ad", "1202", "Mug")),
        ("ad_id,campaign_name,ad_name\n1202,Sale,Mug\n", [], ("ad", "1202", "Mug")),
        ("ad_id,name,ad_name\n1202,Sale,Mug\n", [], ("ad", "1202", "Mug")),
        (
            "sendout_id,name,ad_name\nsend-1,Sale,Mug\n",
            [],
            ("campaign", "send-1", "Sale"),
        ),
        (
            "sendout_id,ad_id,name\nsend-1,1202,Mug\n",
            ["--kind", "ad"],
            ("ad", "1202", "Mug"),
        ),
        ("ad_name,number\nMug,1202\n", [], ("ad", "1202", "Mug")),
    ],
)
def test_an_id_gets_the_name_of_its_own_kind(
    tmp_path: Path, text: str, options: list[str], found: tuple[str, str, str]
) -> None:
    run(tmp_path, text, *options)
    assert [row[:3] for row in stored()] == [found]


@pytest.mark.parametrize(
    ("text", "options", "problem"),
    [
        (
            BOTH,
            [],
            "line names campaigns and ads. Choose with --kind campaign or --kind ad",
        ),
        ("sendout_id,ad_id,name\ns,1,N\n", [], "line names campaigns and ads"),
        ("ad_id,campaign_name\n1202,Sale\n", [], "first line must name the columns"),
        (
            "ad_id,campaign_name\n1202,Sale\n",
            ["--kind", "ad"],
            "among them ad_id and ad_name",
        ),
        ("sendout_id,name\ns,N\n", ["--kind", "ad"], "among them ad_id and ad_name"),
        (
            "campaign_id,campaign_name,sent\ns,N,1\n",
            ["--kind", "ad"],
            "among them ad_id and ad_name",
        ),
        ("ad_id,name\n1,N\n", ["--kind", "campaign"], "among them sendout_id"),
    ],
)
def test_columns_of_another_kind_are_not_guessed_at(
    tmp_path: Path, text: str, options: list[str], problem: str
) -> None:
    with pytest.raises(CommandError, match=problem):
        run(tmp_path, text, *options)
    assert stored() == []


@pytest.mark.parametrize(
    "name",
    [
        "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{PERSONAL COMPUTER} Sale",
        "Black\N{NO-BREAK SPACE}Friday",
        "\N{RIGHT-TO-LEFT MARK}חורף",
    ],
    ids=ascii,
)
def test_invisible_marks_belong_to_a_name(tmp_path: Path, name: str) -> None:
    run(tmp_path, f"sendout_id,campaign_name\nsend-1,{name}\n")
    assert stored()[0][2] == name


@pytest.mark.parametrize(
    "sign", ["\0", "\x07", "\x1b", "\x7f", "\x85", "\u2028", "\u2029"], ids=ascii
)
def test_a_control_character_is_refused(tmp_path: Path, sign: str) -> None:
    with pytest.raises(CommandError, match="line 2: the name has a line break or a"):
        run(tmp_path, f"sendout_id,campaign_name\nsend-1,Black{sign}Friday\n")
    assert stored() == []


def test_the_lines_of_one_campaign_are_added_up(tmp_path: Path) -> None:
    text = "sendout_id,campaign_name,sent\nsend-1,A,1.000\nsend-1,B,5\nsend-1,B,\n"
    for _ in range(2):
        run(tmp_path, text)
        assert [row[2:4] for row in stored()] == [("B", 1005)]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "The first line must name the columns"),
        ("one\n1\n", "The first line must name the columns"),
        ("a,b,c\n1,2,3\n", "The first line must name the columns"),
        ("sendout_id,name,sent\ns,N,many\n", "line 2: sent must be a whole number"),
        ("sendout_id,name,sent\ns,N,-4\n", "line 2: sent must be a whole number"),
        ("sendout_id,name,read\ns,N,1.5\n", "line 2: read must be a whole number"),
        ("a,b\n1,2\n,Name\n", "line 3: the id is empty"),
        ("a,b\n1,\n", "line 2: the name is empty"),
        ("a,b\n1\n", "line 2: has only 1 columns"),
        (f"a,b\n{'x' * 256},N\n", "line 2: the id has more than 255 characters"),
        ('a,b\n1,"Mug\n2,"Cup"\n', "line 3: "),
        ('a,b\n1,"Mug\n2,Cup\n', "line 3: unexpected end of data"),
        ('a,b\n1,"Mug\n2,Cup"\n3,Tee\n', "line 3: the name has a line break"),
        (b"a,b\n1,Caf\xe9\n", "line 2 is not UTF-8"),
    ],
)
def test_a_bad_file_changes_nothing(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    run(tmp_path, "a,b\nkept,Kept\n")
    with pytest.raises(CommandError, match=problem):
        run(tmp_path, text)
    assert [row[1] for row in stored()] == ["kept"]


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="cannot be read: No such file"):
        call_command("connectly_names", "--csv", str(tmp_path / "none.csv"))


def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, EXPORT, "--dry-run") == "2 names; nothing was changed."
    assert stored() == []
