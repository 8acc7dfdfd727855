"""What both generations of the Python SDK are given: a client's metadata, a store, and a person with a browser."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from mcp.shared.auth import OAuthClientMetadata

# The address of the client's own metadata document, which stands in for a registration.
DOCUMENT = os.environ.get("ICGATE_TEST_CLIENT_DOCUMENT")

BROWSER = Path(__file__).parent.parent / "browser.py"

METADATA = OAuthClientMetadata(
    client_name="Python SDK",
    redirect_uris=["http://localhost:33998/callback"],
    grant_types=["authorization_code", "refresh_token"],
    response_types=["code"],
    token_endpoint_auth_method="none",
)


class Store:
    """Tokens and registration, in memory."""

    def __init__(self):
        self.tokens = None
        self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Person:
    """Opens the authorization URL in the browser and remembers where it ended."""

    def __init__(self):
        self.answer = {}

    async def open(self, url):
        command = [sys.executable, str(BROWSER), url]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if ended.returncode != 0:
            raise RuntimeError(f"the browser stopped: {ended.stdout}{ended.stderr}")
        query = parse_qs(urlsplit(ended.stdout.strip()).query)
        self.answer = {name: values[0] for name, values in query.items()}
