"""Whatever the API server takes, kopf gets it parsed, and StreamPool.parse refuses it with a sentence."""

from __future__ import annotations

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kopf._cogs.clients import api as kopf_api
from pydantic import ValidationError

from fingerv7.adapters.kube.shallow import loads
from fingerv7.api.streampool import StreamPool
from fingerv7.runtime import shallow


def a_pool(foo: str) -> str:
    template = f'{{"spec": {{"containers": [{{"name": "fingerv7"}}], "foo": {foo}}}}}'
    source = '{"postgres": {"secretRef": {"name": "db"}, "table": "streams"}}'
    return (
        '{"apiVersion": "fingerv7.io/v1alpha1", "kind": "StreamPool", "metadata": {"name": "radio"}, '
        f'"spec": {{"source": {source}, "workers": {{"template": {template}}}}}}}'
    )


@pytest.mark.parametrize("depth", [100, 990, 3_000, 9_990, 100_000])
@pytest.mark.parametrize(("opened", "closed"), [('{"a":', "}"), ("[", "]")])
def test_a_pool_that_is_nested_however_deep_is_refused_with_a_sentence(depth, opened, closed):
    shallow.protect_kopf()
    read = vars(kopf_api)["json"].loads(a_pool(opened * depth + '"}]"' + closed * depth))
    assert read["metadata"] == {"name": "radio"}
    with pytest.raises(ValidationError, match=r"spec\.workers\.template\.spec\.foo.* at most 64 levels are accepted"):
        StreamPool.parse(read)


def test_as_deep_as_pods_are_is_accepted():
    StreamPool.parse(loads(a_pool('{"a":' * 50 + "1" + "}" * 50)))


async def test_a_list_is_read_alike_and_what_is_no_json_is_an_error_of_the_connection():
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/page":
            return web.Response(body=b"<html>\xff", content_type="text/html")
        return web.Response(text=a_pool("[" * 5_000 + "]" * 5_000), content_type="application/json")

    app = web.Application()
    app.router.add_get("/{path}", answer)
    async with TestServer(app) as server, aiohttp.ClientSession(response_class=shallow.Response) as session:
        async with session.get(server.make_url("/pool")) as response:
            assert (await response.json())["metadata"] == {"name": "radio"}
        async with session.get(server.make_url("/page")) as response:
            with pytest.raises(aiohttp.ContentTypeError):
                await response.json()
