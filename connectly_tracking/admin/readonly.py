"""What our pages share: a record is not edited by hand, and no table is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import django
from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.views.main import ORDER_VAR, ChangeList
from django.core.exceptions import BadRequest, ValidationError
from django.core.paginator import Paginator
from django.db.models import DateTimeField, Model
from django.utils.functional import cached_property
from django.utils.text import capfirst

from .display import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse
    from django_stubs_ext import StrOrPromise

    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    RowPaginator = Paginator[Any]
else:
    ModelAdmin, TabularInline = admin.ModelAdmin, admin.TabularInline
    RowPaginator = Paginator

#: A list counts no further, since counting takes longer as the table grows.
MAX_COUNTED: Final = 10_000


class _ReadOnly:
    class Media:
        css = {"all": ["connectly_tracking/admin.css"]}
        js = ["connectly_tracking/admin.js"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class BoundedPaginator(RowPaginator):
    """Counts to `MAX_COUNTED` at most; ``is_cut`` if there are more rows."""

    @cached_property
    def count(self) -> int:
        rows: Any = self.object_list
        return min(int(rows.order_by()[: MAX_COUNTED + 1].count()), MAX_COUNTED)

    @property
    def is_cut(self) -> bool:
        return self.count == MAX_COUNTED


class _ChangeList(ChangeList):
    def get_ordering(self, request: HttpRequest, queryset: Any) -> Any:
        """Ignore ``?o=`` for a list without sortable columns, as Django does not."""
        if not self.sortable_by:
            self.params.pop(ORDER_VAR, None)
        return super().get_ordering(request, queryset)


class StrictAdmin(ModelAdmin):
    """Answers no question that no page asks, and refuses junk with a 400."""

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return [self._times.get(it, it) for it in shown]

    @cached_property
    def _times(self) -> dict[Any, Any]:
        """A column for each field that is a time. Always the same one, or Django would
        not find it among the columns that can be sorted.
        """
        return {
            field.name: time_of(self.model, field.name)
            for field in self.opts.fields
            if isinstance(field, DateTimeField)
        }

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Show times as the rest of the page does."""
        found = []
        for name, options in super().get_fieldsets(request, obj):
            shown = [self._times.get(it, it) for it in options["fields"]]
            found.append((name, {**options, "fields": shown}))
        return found

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._refuse_junk(request)
        return super().changelist_view(request, extra_context)

    def _refuse_junk(self, request: HttpRequest) -> None:
        """Raise BadRequest for values with which a database would fail."""
        if "%00" in request.META.get("QUERY_STRING", ""):
            raise BadRequest("a NUL character in the query")
        for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
            try:
                self.opts.pk.clean(chosen, None)
            except ValidationError as exc:
                raise BadRequest("a chosen row that cannot exist") from exc

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: Any = None
    ) -> Any:
        if "\0" in object_id:
            return None
        return super().get_object(request, object_id, from_field or None)

    def get_changelist(self, request: HttpRequest, **_options: Any) -> type[ChangeList]:
        return _ChangeList

    def lookup_allowed(
        self, lookup: str, value: Any, request: HttpRequest | None = None
    ) -> bool:
        """Allow the filters of the list only. Django allows every lookup of a field:
        ``?payload__contains=`` would read what no page shows.
        """
        offered = set[str]()
        for it in () if request is None else self.get_list_filter(request):
            name = it[0] if isinstance(it, (list, tuple)) else it
            offered.add(str(getattr(name, "parameter_name", name)))
        return any(
            lookup in {name, f"{name}__exact", f"{name}__isnull"} for name in offered
        )


class ReadOnlyAdmin(_ReadOnly, StrictAdmin):
    """Rows are written by orders, clicks and deliveries only."""

    paginator = BoundedPaginator
    show_full_result_count = False  # it would count the table on each page
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 50
    #: Shown instead of a list that never had a row.
    empty_message: StrOrPromise = ""

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        title = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, title | (extra_context or {}))

    def page_context(self, request: HttpRequest, title: StrOrPromise) -> dict[str, Any]:
        """Return the context for a page that Django's admin does not have."""
        return {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            # As this Django's own pages have them.
            "crumbs_are_listed": django.VERSION >= (6, 1),
        }


def time_of(model: type[Model], name: str) -> Callable[[Any], StrOrPromise]:
    """Return a column for a time, with the label and the help text of its field."""
    field: Any = model._meta.get_field(name)

    @admin.display(description=field.verbose_name, ordering=field.name)
    def shown(row: Any) -> StrOrPromise:
        return clock(getattr(row, field.name))

    shown.__name__ = field.name
    return shown


class ReadOnlyInline(_ReadOnly, TabularInline):
    extra = 0
    can_delete = False

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fields
