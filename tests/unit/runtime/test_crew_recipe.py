"""Whatever stands in a template, a recipe comes of it or a sentence that says why not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from fingerv7.runtime.crew_recipe import CrewRecipe

from .managed_pools import a_pool


def worked_out(pool, *, sidecar_image="sidecar:1"):
    office = SimpleNamespace(
        clocks=SimpleNamespace(monotonic=lambda: 0.0),
        sidecar_image=sidecar_image,
        sidecar_pull_policy="IfNotPresent",
    )
    recipe = CrewRecipe(("music", "radio"), office, None)
    recipe.work_out(pool)
    return recipe


@pytest.mark.parametrize(
    "pool",
    [
        a_pool({"securityContext": "abc"}),
        a_pool({"securityContext": ["abc"]}),
        a_pool(spec={"securityContext": 5}),
        a_pool(spec={"terminationGracePeriodSeconds": 2**70}),
        a_pool({"env": [None]}),
        a_pool(sidecar={"resources": {"limits": {"cpu": 2**70}}}),
    ],
)
def test_whatever_is_wrong_with_a_template_is_said_and_said_again(pool):
    recipe = worked_out(pool)
    for _ in range(2):
        assert recipe.present is None
        assert recipe.blocked.reason == "TemplateInvalid"
        assert recipe.blocked.message.startswith("spec.workers")
        recipe.work_out(pool)


def test_a_template_that_works():
    recipe = worked_out(a_pool())
    assert recipe.blocked is None
    assert recipe.revision


def test_without_an_image_for_the_sidecar():
    assert worked_out(a_pool(replicas=7), sidecar_image="").blocked.reason == "SidecarImageMissing"
