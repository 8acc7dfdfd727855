"""The official Python SDK, second generation: signs in from the bare URL and calls every tool of the plan.

usage: client_v2.py URL PLAN    (PLAN: JSON list of {"tool", "arguments"})
Prints one JSON object: protocol, tools, results.
"""

import asyncio
import json
import sys

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult

from person import DOCUMENT, METADATA, Person, Store


async def main(url, plan):
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
            tools = await client.list_tools()
            results = []
            for step in plan:
                result = await client.call_tool(step["tool"], step["arguments"])
                text = "\n".join(block.text for block in result.content if block.type == "text")
                results.append({"error": bool(result.is_error), "text": text})
            print(
                json.dumps(
                    {
                        "protocol": client.protocol_version,
                        "tools": [tool.name for tool in tools.tools],
                        "results": results,
                    }
                )
            )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], json.loads(sys.argv[2])))
