"""What all our pages share: nothing is written by hand, and no page counts a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import django
from django.contrib.admin import ShowFacets
from django.core.paginator import Paginator
from django.utils.functional import cached_property

if TYPE_CHECKING:
    from django.http import HttpRequest

    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

#: As this Django's own pages have them.
CRUMBS_ARE_LISTED: Final = django.VERSION >= (6, 1)
#: More than a person turns pages; a count of the table grows with the table.
MOST: Final = 10_000


class Logbook:
    """Rows come from the shop's orders, and change by delivery alone."""

    # Any other count would make each page slower as the table grows.
    show_full_result_count = False
    show_facets = ShowFacets.NEVER
    list_per_page = 50

    class Media:
        css = {"all": ["connectly_tracking/admin.css"]}
        js = ["connectly_tracking/admin.js"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class BoundedPaginator(_Paginator):
    """Counts to `MOST` and no further; ``is_cut`` where there is more."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return min(self._counted(rows), MOST)

    @property
    def is_cut(self) -> bool:
        return self.count == MOST

    def _counted(self, rows: Any) -> int:
        return int(rows.order_by()[: MOST + 1].count())
