"""What users overrule by annotation is done once for each value, also across restarts."""

from __future__ import annotations

from types import SimpleNamespace

from fingerv7.contract import END_BACK_OFF, RELEASE_TAKEOVERS
from fingerv7.core.override import Override
from fingerv7.runtime.overrides import Overrides


def pool(annotations=None, answered=None):
    return SimpleNamespace(
        metadata=SimpleNamespace(annotations=annotations or {}),
        status=SimpleNamespace(answered_overrides=answered),
    )


def decision(**overruled):
    return SimpleNamespace(overruled={Override[name]: message for name, message in overruled.items()})


def test_each_value_works_once_and_again_after_it_was_removed():
    overrides = Overrides(pool({RELEASE_TAKEOVERS: "now"}))
    asked = overrides.asked
    assert asked == {Override.RELEASE_TAKEOVERS: "now"}
    overrides.decided(decision(RELEASE_TAKEOVERS="3 workers (a, b, c) taken over at once"), asked)
    assert overrides.asked == {}
    (news,) = overrides.take_news()
    assert (news.reason, news.message) == (
        "TakeoversReleased",
        "3 workers (a, b, c) taken over at once (asked for by the annotation fingerv7.io/release-takeovers=now)",
    )
    assert overrides.take_news() == []
    overrides.look(pool({RELEASE_TAKEOVERS: "again"}))
    assert overrides.asked == {Override.RELEASE_TAKEOVERS: "again"}
    overrides.look(pool())
    overrides.look(pool({RELEASE_TAKEOVERS: "now"}))
    assert overrides.asked == {Override.RELEASE_TAKEOVERS: "now"}


def test_a_restarted_operator_does_not_overrule_again():
    first = Overrides(pool({RELEASE_TAKEOVERS: "now", END_BACK_OFF: "now"}))
    first.decided(decision(RELEASE_TAKEOVERS="no takeover is held"), first.asked)
    stored = first.status()["answeredOverrides"]
    assert stored == {RELEASE_TAKEOVERS: "now"}
    second = Overrides(pool({RELEASE_TAKEOVERS: "now", END_BACK_OFF: "now"}, stored))
    assert second.asked == {Override.END_BACK_OFF: "now"}


def test_what_is_not_answered_yet_goes_on_being_asked():
    overrides = Overrides(pool({RELEASE_TAKEOVERS: "now"}))
    overrides.decided(decision(), overrides.asked)
    assert overrides.asked == {Override.RELEASE_TAKEOVERS: "now"}
    assert overrides.status() == {"answeredOverrides": None}
