"""A journey with the official Python SDK: finds an app, reads its interface, and acts in it as the second account.

usage: journey_account.py URL NAME ADDRESS
NAME is what the user calls the app, which nobody knows; ADDRESS is what they say when they are asked.
Prints one JSON object with what every step found.
"""

import asyncio
import json
import sys

from session_v2 import signed_in


async def main(url, name, address):
    async with signed_in(url) as client:
        await client.list_tools()

        async def call(tool, **arguments):
            result = await client.call_tool(tool, arguments)
            text = "\n".join(block.text for block in result.content if block.type == "text")
            return result.is_error, text, result.structured_content

        async def found(tool, **arguments):
            failed, text, structured = await call(tool, **arguments)
            if failed:
                raise SystemExit(f"{tool} {arguments}: {text}")
            return text, structured

        failed, unknown, _ = await call("open_app", app=name)
        if not failed:
            raise SystemExit(f"the server guessed: {unknown}")
        _, app = await found("open_app", app=address)
        domain, canister = app["derivation_origin"], app["canisters"][0]["canister_id"]
        interface, _ = await found("get_candid", canister_id=canister)
        _, accounts = await found("list_accounts", domain=domain)
        second = accounts["accounts"][1]["name"]
        told, seen = {}, {}
        for account in (None, second):
            who = {"domain": domain} | ({"account": account} if account else {})
            _, principal = await found("get_principal", **who)
            told[account or ""] = principal["principal"]
            act = {"canister_id": canister, "method": "whoami_update", "args": "()"}
            _, answer = await found("update_canister", **act, **who)
            seen[account or ""] = answer["reply"]
        print(
            json.dumps(
                {
                    "protocol": client.protocol_version,
                    "unknown": unknown,
                    "app": app,
                    "interface": interface,
                    "accounts": accounts["accounts"],
                    "second": second,
                    "told": told,
                    "seen": seen,
                }
            )
        )


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
