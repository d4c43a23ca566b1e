"""A headless Chromium (Debian's), by way of playwright-core: see tests/browser/browser.js."""
import json
import shutil
import subprocess

from support import ROOT

SCRIPT = ROOT / "tests" / "browser" / "browser.js"
PLAYWRIGHT = ROOT / "build" / "browser" / "node_modules" / "playwright-core"


class Browser:
    def __init__(self):
        assert shutil.which("chromium") and PLAYWRIGHT.exists(), "run scripts/setup with a registry"
        self.process = subprocess.Popen(["node", SCRIPT, PLAYWRIGHT], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def tell(self, what, **options):
        self.process.stdin.write(json.dumps({"do": what, **options}) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline() or '{"error": "the browser ended"}')
        assert "error" not in answer, answer["error"]
        return answer["value"]

    def open(self, url, width=1440, height=900, dark=False):
        self.tell("open", url=url, width=width, height=height, dark=dark)

    def evaluate(self, function):
        """What a JavaScript function says in the page."""
        return self.tell("evaluate", text=function)

    def texts(self, selector):
        return self.evaluate("() => [...document.querySelectorAll(" + json.dumps(selector) + ")]"
                             ".map((one) => one.textContent)")
