"""The HTTP port's API, as a program would use it."""
import contextlib
import http.client
import json

TOKEN, VIEW_TOKEN = "command-0123456789abcdef", "view-0123456789abcdef"
TOKENS = {"admin": {"token": TOKEN, "view_token": VIEW_TOKEN}}


class Answer:
    def __init__(self, response):
        self.status, self.headers, self.body = response.status, response.headers, response.read()

    def json(self):
        assert self.headers["Content-Type"] == "application/json", self.body
        return json.loads(self.body)

    def error(self):
        """Its code: every refusal of the API has one."""
        assert self.status >= 400, self.body
        error = self.json()["error"]
        assert error["message"]
        return error["code"]


def request(weir, path, method="GET", body=None, token=VIEW_TOKEN, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", weir.http_port, timeout=30)
    if token:
        headers["Authorization"] = f"Bearer {token}"
    with contextlib.closing(connection):
        connection.request(method, path, body, headers)
        return Answer(connection.getresponse())


def get(weir, path, token=VIEW_TOKEN):
    answer = request(weir, f"/api/v1/{path}", token=token)
    assert answer.status == 200, answer.body
    return answer.json()


def table(weir, name, **query):
    words = "&".join(f"{key}={value}" for key, value in query.items())
    return get(weir, f"tables/{name}?{words}" if words else f"tables/{name}")["rows"]


def command(weir, text, token=TOKEN):
    return request(weir, "/api/v1/commands", "POST", json.dumps({"command": text}), token,
                   **{"Content-Type": "application/json"})


@contextlib.contextmanager
def events(weir, token=VIEW_TOKEN):
    """A generator of (name, data)."""
    connection = http.client.HTTPConnection("127.0.0.1", weir.http_port, timeout=30)
    with contextlib.closing(connection), contextlib.ExitStack() as stack:
        connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {token}"})
        response = stack.enter_context(contextlib.closing(connection.getresponse()))
        assert response.status == 200, response.read()
        assert response.headers["Content-Type"] == "text/event-stream"

        def read():
            name = ""
            while line := response.readline():
                if line.startswith(b"event: "):
                    name = line[7:].decode().strip()
                elif line.startswith(b"data: "):
                    yield name, json.loads(line[6:])
        yield read()
