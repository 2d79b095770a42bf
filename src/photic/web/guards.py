"""Guards: who may ask the server, and what its answers may do in a browser."""

from __future__ import annotations

import hmac
import ipaddress
import secrets
from collections.abc import Collection
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "photic-token"
_LOCAL = ("localhost", "127.0.0.1", "[::1]")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def loopback(host: str) -> bool:
    """Tell whether only this machine can reach a server that listens on `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def new_token() -> str:
    """Return a random token of 192 bits."""
    return secrets.token_urlsafe(24)


class Guard:
    """Refuses what does not come from our own page: another Host (DNS rebinding), another site, a missing token.

    Args:
        app: what is guarded.
        hosts: names under which the server may be called, without port; those of this machine are always allowed.
        token: asked for when not ''; it comes as `?token=` once and then as a cookie, or as a bearer token.
    """

    def __init__(self, app: ASGIApp, *, hosts: Collection[str] = (), token: str = "") -> None:
        self.app = app
        self.hosts = {*_LOCAL, *(host.lower() for host in hosts)}
        self.token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with a refusal."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", []),
                    *((name.encode(), value.encode()) for name, value in _HEADERS.items()),
                ]
            await send(message)

        if _name(headers.get("host", "")) not in self.hosts:
            refusal = PlainTextResponse("this server does not answer to that name", status_code=421)
        elif headers.get("sec-fetch-site", "none") not in ("none", "same-origin") and scope["path"].startswith("/api/"):
            refusal = PlainTextResponse("other sites may not ask", status_code=403)
        elif self.token and not self._knows(scope, headers):
            refusal = PlainTextResponse(
                "the token is missing: open the address that the server printed", status_code=401
            )
        elif self.token and "token" in parse_qs(scope["query_string"].decode("latin-1")):
            refusal = self._settled(scope)
        else:
            await self.app(scope, receive, guarded)
            return
        await refusal(scope, receive, guarded)

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [])
        bearer = headers.get("authorization", "")
        if bearer.startswith("Bearer "):
            given.append(bearer.removeprefix("Bearer "))
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None:
            given.append(cookie.value)
        return any(hmac.compare_digest(value.encode(), self.token.encode()) for value in given)

    def _settled(self, scope: Scope) -> RedirectResponse:
        """Keep the token in a cookie and take it out of the address."""
        asked = parse_qs(scope["query_string"].decode("latin-1"))
        asked.pop("token")
        target = scope["path"] if scope["path"].startswith("/") and not scope["path"].startswith("//") else "/"
        answer = RedirectResponse(target + (f"?{urlencode(asked, doseq=True)}" if asked else ""), status_code=303)
        answer.set_cookie(COOKIE, self.token, httponly=True, samesite="strict", path="/")
        return answer


def _name(host: str) -> str:
    """Return the name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0].lower() + "]"
    return host.partition(":")[0].lower()
