"""The company's web server: one page, from one row of the database at home, found by the DNS at home."""

import html
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import psycopg2

COMPANY, DATABASE = os.environ["COMPANY"], os.environ["DATABASE"]


def motto() -> str:
    """Ask the database for the company's row."""
    with (
        psycopg2.connect(host=DATABASE, user="web", dbname="corp", connect_timeout=4) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT name, motto FROM company")
        return " - ".join(cursor.fetchone())


class Page(BaseHTTPRequestHandler):
    """Answers every GET with the company's page."""

    def do_GET(self) -> None:
        try:
            status, text = 200, motto()
        except psycopg2.Error as error:
            status, text = 503, f"{DATABASE} cannot be asked: {error}"
        body = f"<h1>{html.escape(COMPANY)}</h1>\n<p>{html.escape(text)}</p>\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 80), Page).serve_forever()
