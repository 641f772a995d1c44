"""A small web server on this machine that breaks off, ignores and lies on demand."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files`; notes each Range header; `cut` breaks answers off after that many bytes."""

    def __init__(self):
        self.files, self.asked, self.cut, self.ranges = {}, [], [], True
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = self.headers.get("Range")
                server.asked.append((self.path, asked))
                content = server.files.get(self.path)
                if content is None:
                    return self.send_error(404)
                start = int(asked[len("bytes=") : -1]) if asked and server.ranges else 0
                if start and start >= len(content):
                    return self.send_error(416)
                self.send_response(206 if start else 200)
                if start:
                    place = f"bytes {start}-{len(content) - 1}/{len(content)}"
                    self.send_header("Content-Range", place)
                self.send_header("Content-Length", str(len(content) - start))
                self.end_headers()
                rest = content[start:]
                self.wfile.write(rest[: server.cut.pop(0)] if server.cut else rest)

            def log_message(self, *_):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


def unused_address():
    """An address at which nobody answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"
