"""A signed-in client of the official Python SDK, second generation, from the bare URL."""

from contextlib import asynccontextmanager

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult

from person import DOCUMENT, METADATA, Person, Store


@asynccontextmanager
async def signed_in(url):
    person = Person()

    async def answer():
        return AuthorizationCodeResult(
            code=person.answer["code"],
            state=person.answer.get("state"),
            iss=person.answer.get("iss"),
        )

    auth = OAuthClientProvider(
        server_url=url,
        client_metadata=METADATA,
        client_metadata_url=DOCUMENT,
        storage=Store(),
        redirect_handler=person.open,
        callback_handler=answer,
    )
    async with httpx2.AsyncClient(auth=auth, timeout=60, trust_env=False) as http:
        async with Client(streamable_http_client(url, http_client=http), mode="auto") as client:
            yield client
