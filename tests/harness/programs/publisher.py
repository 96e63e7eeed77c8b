"""publisher.py [--tls] [--stumble=N]: serves /srv, in a machine, also as a proxy for every host.

With `--stumble` it answers the first N requests with an error that passes.
"""

import http.server
import ssl
import sys
from urllib.parse import urlsplit

stumbles = [int(word.partition("=")[2]) for word in sys.argv if word.startswith("--stumble")]


class Publisher(http.server.SimpleHTTPRequestHandler):
    def do_GET(self) -> None:
        self.path = urlsplit(self.path).path
        if stumbles and stumbles[0] > 0:
            stumbles[0] -= 1
            self.send_error(503)
        else:
            super().do_GET()

    def log_message(self, form: str, *values: object) -> None:
        print(form % values, flush=True)


tls = "--tls" in sys.argv
server = http.server.ThreadingHTTPServer(
    ("127.0.0.1", 443 if tls else 8000), lambda *words: Publisher(*words, directory="/srv")
)
if tls:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("/srv/tls/cert.pem", "/srv/tls/key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
print("ready", flush=True)
server.serve_forever()
