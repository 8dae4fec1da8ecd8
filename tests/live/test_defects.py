# SPDX-License-Identifier: Apache-2.0
"""Entries of the defect register (D-nn) that no other file holds: what may never happen in the running program."""
import asyncio
import json
import subprocess
import threading
import urllib.error
import urllib.request

import pytest

from audit import finish, job
from stack import binary, wait_until

pytestmark = pytest.mark.timeout(150)


def test_d46_no_answer_is_made_up(bed):
    """Every provider fails: no answer text anywhere, whatever the models are called."""
    bed.create_topics()
    bed.sim(["sim/fast,e500=100%", "sim/smart,silence=100%"])
    bed.configure(models={"fast": {}, "smart": {"timeout": {"total": "1s"}}}, retry={"attempts": 2})
    bed.start().wait_ready()
    bed.send([job(f"j{i}") for i in range(10)])
    got = finish(bed, 10)
    for r in got.results:
        assert (r["status"], r["answer"], r["error_code"]) == ("failed", None, "quorum_not_met")
        assert all(a["answer"] is None and a["error_code"] for a in r["answers"])


@pytest.mark.parametrize("value", ["${env:NO_SUCH_KEY}", "${file:no-such-file}"])
def test_d46_d62_without_its_secret_the_service_does_not_start(bed, value):
    """There is no built-in secret and no simulated stand-in."""
    bed.sim(["sim/a"])
    bed.configure(models={"a": {}})
    bed.config["providers"]["sim"]["api_key"] = value
    r = subprocess.run([binary(), "run", "-c", bed.write_config()], capture_output=True, text=True, timeout=30, check=False)
    assert r.returncode == 78, r.stderr
    assert "providers.sim.api_key" in r.stderr or "NO_SUCH_KEY" in r.stderr or "no-such-file" in r.stderr


class CountingRelay:
    """Passes connections on to a port and counts them."""

    def __init__(self, port):
        self.target, self.opened, self.open, self.most = port, 0, 0, 0
        self.loop = asyncio.new_event_loop()
        self.server = self.loop.run_until_complete(asyncio.start_server(self.serve, "127.0.0.1", 0))
        self.port = self.server.sockets[0].getsockname()[1]
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()

    async def serve(self, reader, writer):
        self.opened += 1
        self.open += 1
        self.most = max(self.most, self.open)
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target)
        await asyncio.gather(self.copy(reader, up_writer), self.copy(up_reader, writer))
        self.open -= 1

    @staticmethod
    async def copy(reader, writer):
        try:
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        writer.close()

    async def end(self):
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    def close(self):
        asyncio.run_coroutine_threadsafe(self.end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()


def test_d63_connections_are_kept_and_bounded(bed):
    """10,000 calls go over as many connections as are under way at once, not over one each."""
    bed.create_topics()
    sim = bed.sim(["sim/a,latency=5ms"])
    relay = CountingRelay(int(sim.url.split(":")[2].split("/")[0]))
    try:
        bed.configure(models={"a": {"limits": {"concurrency": 40}}}, jobs={"max_in_flight": 200})
        bed.config["providers"]["sim"]["base_url"] = f"http://127.0.0.1:{relay.port}/v1"
        bed.start().wait_ready()
        bed.send([job(f"j{i}") for i in range(10000)])
        bed.committed_everything(seconds=120)
        assert len(sim.requests()) == 10000
        assert relay.most <= 40
        assert relay.opened <= 40, f"{relay.opened} connections for 10,000 calls"
    finally:
        relay.close()


def test_d10_d11_health_neither_waits_nor_asks(bed):
    """The whole status of a service whose providers all hang is there at once, and costs no call."""
    bed.create_topics()
    sim = bed.sim(["sim/a,silence=100%"])
    bed.configure(models={"a": {}})
    service = bed.start().wait_ready()
    service.wait_log(r"event=admin_listening", 20)
    url = "http://" + [w for w in service.output().split() if w.startswith(("addr=", "listen=", "address="))][-1].split("=", 1)[1].strip('"')
    bed.send([job(f"j{i}") for i in range(20)])
    wait_until("all calls hang", lambda: len(sim.requests()) == 0 and in_flight(url) == 20)
    for _ in range(250):
        for path in ("/livez", "/readyz", "/metrics", "/api/v1/status"):
            try:
                urllib.request.urlopen(url + path, timeout=5).read()
            except urllib.error.HTTPError as e:  # not ready is an answer, too
                assert e.code == 503
    assert in_flight(url) == 20, "1,000 reads of its health started nothing"


def in_flight(url):
    """Calls that the service says are under way."""
    return sum(len(j["calls"]) for j in json.load(urllib.request.urlopen(url + "/api/v1/inflight", timeout=5))["jobs"])
