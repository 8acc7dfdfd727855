"""FastMCP's client with its own OAuth: signs in from the bare URL, lists the tools and asks one thing.

usage: fastmcp_client.py URL CANISTER
The browser is what the environment's BROWSER says. Prints one JSON object: tools, text.
"""

import asyncio
import json
import sys

from fastmcp import Client


async def main(url, canister):
    async with Client(url, auth="oauth", timeout=60) as client:
        tools = await client.list_tools()
        result = await client.call_tool("get_candid", {"canister_id": canister})
        text = "\n".join(block.text for block in result.content if block.type == "text")
        print(json.dumps({"tools": [tool.name for tool in tools], "text": text}))


asyncio.run(main(*sys.argv[1:]))
