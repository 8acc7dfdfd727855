"""The person and their browser, for clients that can only print an address.

usage: browser.py [--deliver] AUTHORIZATION_URL
       browser.py --device DEVICE_PAGE_URL
Opens the address, agrees on the consent page, consents at Internet Identity (devnet's headless page) and does what
the script of the callback page does. Prints the address the browser ends at: the client's redirect URI. With
--deliver it opens that address too, for clients that wait for the browser on a port of their own. With --device the
address is the one that a device shows, with its code filled in: the person enters the code, confirms it, and the
browser ends at the page that says to go back to the device.

Environment: ICGATE_TEST_DEVNET, devnet's Internet Computer URL; ICGATE_TEST_II, `ii` or `ii_prod`;
ICGATE_TEST_TICK, a scope that the person ticks on the consent page besides those that are ticked there.
Standard library only, so that clients of every language can share it.
"""

import html
import html.parser
import http.cookiejar
import json
import os
import re
import sys
import urllib.parse
import urllib.request

TIMEOUT_SECONDS = 30


class Form(html.parser.HTMLParser):
    """The first form of a page: where it goes and what a browser would send."""

    def __init__(self):
        super().__init__()
        self.action = None
        self.fields = []
        self.button = None

    def handle_starttag(self, tag, attributes):
        attribute = dict(attributes)
        if tag == "form" and self.action is None:
            self.action = attribute.get("action") or ""
        if tag not in ("input", "button"):
            return
        kind = attribute.get("type") or ("submit" if tag == "button" else "text")
        field = (attribute.get("name"), attribute.get("value") or "")
        if kind == "submit":
            self.button = self.button or field
        elif field[0] and (kind not in ("checkbox", "radio") or "checked" in attribute or is_ticked(field)):
            self.fields.append(field)


def is_ticked(field):
    return field == ("scope", os.environ.get("ICGATE_TEST_TICK"))


class KeepRedirect(urllib.request.HTTPRedirectHandler):
    """Gives a redirect back instead of following it: the next hop is another person's page."""

    def redirect_request(self, *_):
        return None


class Browser:
    def __init__(self):
        jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(jar),
            KeepRedirect(),
        )

    def open(self, url, data=None, headers=None):
        headers = {"Accept": "text/html,*/*;q=0.8", **(headers or {})}
        if data is not None:
            parts = urllib.parse.urlsplit(url)
            headers["Origin"] = f"{parts.scheme}://{parts.netloc}"
        request = urllib.request.Request(url, data=data, headers=headers)
        try:
            return self.opener.open(request, timeout=TIMEOUT_SECONDS)
        except urllib.error.HTTPError as answer:
            if 300 <= answer.code < 400:
                return answer
            raise SystemExit(f"{url}: {answer.code}: {answer.read().decode(errors='replace')}")

    def submit(self, url, page):
        """The first form of a page as it stands, with its first button."""
        form = Form()
        form.feed(page)
        if form.action is None:
            raise SystemExit(f"no form on {url}:\n{page}")
        fields = form.fields + ([form.button] if form.button and form.button[0] else [])
        target = urllib.parse.urljoin(url, form.action)
        return self.open(target, urllib.parse.urlencode(fields).encode())

    def consent(self, url):
        """Our consent page, to the link to Internet Identity."""
        return self.leads_on(self.submit(url, self.open(url).read().decode()))

    def confirm(self, url):
        """The device page and the one that asks whether the code is the device's, to the link to Internet Identity."""
        page = self.submit(url, self.open(url).read().decode()).read().decode()
        [code] = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)["user_code"]
        if code not in page:
            raise SystemExit(f"{code} is not what is confirmed:\n{page}")
        return self.leads_on(self.submit(url, page))

    def leads_on(self, answer):
        if answer.headers["Location"] is None:
            raise SystemExit(f"{answer.url} leads nowhere:\n{answer.read().decode()}")
        return answer.headers["Location"]

    def redeem(self, callback):
        """The callback page, to the client's redirect URI or the device's last page."""
        address, _, fragment = callback.partition("#")
        self.open(address).read()
        values = dict(urllib.parse.parse_qsl(fragment))
        body = json.dumps({"state": values["state"], "delegation": values["delegation"]})
        redeem = address.removesuffix("/callback") + "/redeem"
        answer = self.open(redeem, body.encode(), {"Content-Type": "application/json"})
        redirect = json.load(answer)["redirect"]
        return self.end_others(redirect) if "/oauth/connect/others?" in redirect else redirect

    def end_others(self, url):
        """The question about the person's other connections: none of them goes on. Leads to a page of this server's
        by redirect, and to an app by a page that goes there by itself."""
        answer = self.submit(url, self.open(url).read().decode())
        if answer.headers["Location"] is not None:
            return urllib.parse.urljoin(url, answer.headers["Location"])
        page = answer.read().decode()
        refresh = re.search(r'<meta http-equiv="refresh" content="0;url=([^"]+)"', page)
        if refresh is None:
            raise SystemExit(f"no way back to the app:\n{page}")
        return html.unescape(refresh[1])


def internet_identity(link):
    """The person consents; gives the callback with its fragment."""
    body = {"ii": os.environ["ICGATE_TEST_II"], "link": link, "anchor": 10000, "access": "all"}
    request = urllib.request.Request(
        os.environ["ICGATE_TEST_DEVNET"] + "/control/consent",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
        return json.load(answer)["callback"]


def main():
    *options, url = sys.argv[1:]
    browser = Browser()
    device = "--device" in options
    link = browser.confirm(url) if device else browser.consent(url)
    answer = browser.redeem(internet_identity(link))
    print(answer)
    if device or "--deliver" in options:
        browser.open(answer).read()


if __name__ == "__main__":
    main()
