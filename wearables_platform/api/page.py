"""The live page: static files without data; the page asks for its data with the reader's token."""

from __future__ import annotations

from flask import Blueprint, Response, send_from_directory

# Nothing from elsewhere, nothing inline: an injected script has nowhere to come from and nowhere to send a token to.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
page = Blueprint("page", __name__, static_folder="static", static_url_path="/static")


@page.get("/")
def index() -> Response:
    """Serve the page."""
    return send_from_directory(str(page.static_folder), "index.html")


@page.after_request
def protect(response: Response) -> Response:
    """Let the page load only what is its own."""
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    response.headers["Cache-Control"] = "no-cache"
    return response
