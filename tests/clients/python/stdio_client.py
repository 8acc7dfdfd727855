"""An MCP client on standard input and output, for bridges that sign in on its behalf.

usage: stdio_client.py CANISTER COMMAND [ARGUMENT...]
Starts the command, lists the tools through it and asks one thing. Prints one JSON object: tools, text.
"""

import asyncio
import json
import os
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main(canister, command, *arguments):
    bridge = StdioServerParameters(command=command, args=list(arguments), env=dict(os.environ))
    async with stdio_client(bridge) as (read, write), ClientSession(read, write) as session:
        await session.initialize()
        tools = await session.list_tools()
        result = await session.call_tool("get_candid", {"canister_id": canister})
        text = "\n".join(block.text for block in result.content if block.type == "text")
        print(json.dumps({"tools": [tool.name for tool in tools.tools], "text": text}))


asyncio.run(main(*sys.argv[1:]))
