"""Runs the real binary on free ports, as a user would, and says where it listens."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
BINARY = os.environ.get("TOMBOLO_BIN", str(HERE / "../../../target/debug/tombolo"))
API_KEY = "clients-test-key"
START_S = 30


class Server:
    """A `tombolo dev` with a data folder of its own."""

    def __init__(self):
        self.data = tempfile.mkdtemp(prefix="tombolo-clients-")
        self.port = self.mqtt_port = 0
        self.start()

    def start(self):
        """Starts it, a second time on the ports that it had."""
        arguments = ["dev", "--schema", str(HERE / "../schema.graphql"), "--data", self.data, "--api-key", API_KEY]
        arguments += ["--listen", f"127.0.0.1:{self.port}", "--mqtt", f"127.0.0.1:{self.mqtt_port}"]
        self.process = subprocess.Popen(
            [BINARY, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.said = []
        self._listening = threading.Event()
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        if not self._listening.wait(START_S):
            self.process.kill()
            raise RuntimeError("the server does not say where it listens:\n" + "".join(self.said))

    def _read(self, lines):
        for line in lines:
            self.said.append(line)
            plain = re.sub(r"\x1b\[[0-9;]*m", "", line)
            if found := re.search(r"MQTT is spoken on 127\.0\.0\.1:(\d+)", plain):
                self.mqtt_port = int(found[1])
            if found := re.search(r"http://127\.0\.0\.1:(\d+)/graphql", plain):
                self.port = int(found[1])
            if self.port and self.mqtt_port:
                self._listening.set()

    def end(self, how=signal.SIGTERM):
        """Ends it with a signal; its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(timeout=START_S)
        self._reader.join()
        self.process.stdout.close()
        return code

    def stop(self):
        """Ends it, and its data."""
        try:
            if self.process.poll() is None:
                self.end()
        finally:
            shutil.rmtree(self.data, ignore_errors=True)
