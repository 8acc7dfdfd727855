"""The official Python SDK, first generation: signs in from the bare URL and calls every tool of the plan.

usage: client_v1.py URL PLAN    (PLAN: JSON list of {"tool", "arguments"})
Prints one JSON object: protocol, tools, results.
"""

import asyncio
import json
import sys

import httpx
from mcp import ClientSession
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client

from person import DOCUMENT, METADATA, Person, Store


async def main(url, plan):
    person = Person()

    async def answer():
        return person.answer["code"], person.answer.get("state")

    auth = OAuthClientProvider(
        server_url=url,
        client_metadata=METADATA,
        client_metadata_url=DOCUMENT,
        storage=Store(),
        redirect_handler=person.open,
        callback_handler=answer,
    )
    async with (
        httpx.AsyncClient(auth=auth, timeout=60, trust_env=False) as http,
        streamable_http_client(url, http_client=http) as (read, write, _),
        ClientSession(read, write) as session,
    ):
        opened = await session.initialize()
        tools = await session.list_tools()
        results = []
        for step in plan:
            result = await session.call_tool(step["tool"], step["arguments"])
            text = "\n".join(block.text for block in result.content if block.type == "text")
            results.append({"error": bool(result.isError), "text": text})
        print(
            json.dumps(
                {
                    "protocol": opened.protocolVersion,
                    "tools": [tool.name for tool in tools.tools],
                    "results": results,
                }
            )
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
