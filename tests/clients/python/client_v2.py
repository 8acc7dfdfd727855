"""The official Python SDK, second generation: signs in from the bare URL and calls every tool of the plan.

usage: client_v2.py URL PLAN    (PLAN: JSON list of {"tool", "arguments"})
Prints one JSON object: protocol, tools, results.
"""

import asyncio
import json
import sys

from session_v2 import signed_in


async def main(url, plan):
    async with signed_in(url) as client:
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
