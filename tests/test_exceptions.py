from __future__ import annotations

import copy
import pickle

import pytest

from connectly_tracking.exceptions import ConnectlyTrackingError, InvalidEvent, causes


class TestErrors:
    def test_an_invalid_event_is_a_value_error_of_ours(self):
        error = InvalidEvent("value", "is None")
        assert isinstance(error, ConnectlyTrackingError)
        assert isinstance(error, ValueError)
        assert (error.field, error.problem) == ("value", "is None")

    @pytest.mark.parametrize(
        "remade",
        [lambda error: pickle.loads(pickle.dumps(error)), copy.copy],
    )
    def test_an_invalid_event_goes_from_process_to_process(self, remade):
        error = remade(InvalidEvent("value", "is None"))
        assert (str(error), error.field) == ("value: is None", "value")


class TestCauses:
    def test_they_are_in_order_and_the_first_cause_is_last(self):
        first, second, third = OSError(), ValueError(), RuntimeError()
        third.__cause__, second.__context__ = second, first
        assert causes(third) == [third, second, first]

    def test_an_exception_without_a_cause_is_its_own_first(self):
        only = ValueError()
        assert causes(only) == [only]

    def test_the_cause_that_was_named_comes_before_what_was_being_handled(self):
        named, handled, raised = OSError(), KeyError(), ValueError()
        raised.__cause__, raised.__context__ = named, handled
        assert causes(raised) == [raised, named]

    def test_a_circle_ends(self):
        first, second = ValueError(), OSError()
        first.__context__, second.__context__ = second, first
        assert causes(first) == [first, second]
