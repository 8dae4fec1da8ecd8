# SPDX-License-Identifier: Apache-2.0
"""docker-compose.yml and Dockerfile. No container engine is at hand: what can be checked without one is their
structure, that the image has the program's libraries, and that the configuration inside is one that tutti takes."""
import os
import pathlib
import re
import shutil
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
RELEASE = os.environ.get("TUTTI_RELEASE_BIN", str(ROOT / "build" / "release" / "tutti"))


@pytest.fixture(name="compose", scope="module")
def _compose():
    return yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))


def stages():
    """[(base image, [(instruction, text)])]"""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    found = []
    for line in text.splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            found.append((rest.split()[0], []))
        elif word and not word.startswith("#"):
            found[-1][1].append((word, " ".join(rest.split())))
    return found


def test_services_wait_for_what_they_need(compose):
    services = compose["services"]
    assert set(services) == {"kafka", "redis", "sim", "tutti"}
    for name in ("kafka", "redis"):
        assert services[name]["healthcheck"]["test"][0] == "CMD"
        assert services["tutti"]["depends_on"][name]["condition"] == "service_healthy"
    assert services["kafka"]["image"].startswith("apache/kafka:4.1")
    command = services["redis"]["command"]
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    for name, service in services.items():
        assert not service.get("privileged"), name
        tag = service.get("image", "").rpartition(":")[2]
        assert "build" in service or (tag and tag != "latest"), f"{name}: an image without a tag changes by itself"
        for port in service.get("ports", []):
            assert port.startswith("127.0.0.1:"), f"{name} listens to the world"
    for volume in {v.split(":")[0] for s in services.values() for v in s.get("volumes", [])}:
        assert volume.startswith("./") and (ROOT / volume).exists() or volume in compose["volumes"]


def test_brokers_listeners_agree(compose):
    env = compose["services"]["kafka"]["environment"]
    names = {n.split(":")[0] for n in env["KAFKA_LISTENERS"].split(",")}
    mapped = {n.split(":")[0] for n in env["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    advertised = dict(a.split("://") for a in env["KAFKA_ADVERTISED_LISTENERS"].split(","))
    assert names == mapped == set(advertised) | {env["KAFKA_CONTROLLER_LISTENER_NAMES"]}
    inside = advertised[env["KAFKA_INTER_BROKER_LISTENER_NAME"]]
    assert inside in (ROOT / "config" / "compose" / "tutti.yaml").read_text(encoding="utf-8")


def test_the_configuration_inside_is_taken(compose):
    grace = int(compose["services"]["tutti"]["stop_grace_period"].rstrip("s"))
    r = subprocess.run([RELEASE, "config", "show", "--json", "-c", "config/compose/tutti.yaml"], cwd=ROOT,
                       env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stderr
    shown = yaml.safe_load(r.stdout)
    assert int(shown["shutdown.grace"]["value"].rstrip("s")) < grace, "docker would kill a drain"
    assert shown["kafka.brokers"]["value"] == "kafka:19092"
    assert shown["redis.url"]["value"] == "redis://redis:6379/0"
    assert shown["providers.sim.base_url"]["value"] == "http://sim:8089/v1"


def test_the_image_runs_the_program_as_nobody():
    build, run = stages()
    assert build[0] == "debian:12" and run[0] == "debian:12-slim"
    assert ("RUN", "scripts/bootstrap build && cmake --preset release && cmake --build --preset release "
                   "&& install -D -m 0755 build/release/tutti /out/tutti") in build[1]
    words = dict(run[1])
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", words["USER"])
    assert words["ENTRYPOINT"] == '["tutti"]' and words["STOPSIGNAL"] == "SIGTERM"
    assert words["HEALTHCHECK"].endswith('CMD ["tutti", "status", "--quiet"]')
    order = [w for w, _ in run[1]]
    assert order.index("USER") > max(i for i, w in enumerate(order) if w == "RUN")


@pytest.mark.skipif(shutil.which("dpkg") is None, reason="the packages are Debian's")
def test_the_image_has_the_programs_libraries():
    dynamic = subprocess.run(["readelf", "-d", RELEASE], capture_output=True, text=True, check=True).stdout
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", dynamic)
    paths = dict(re.findall(r"(\S+) => (\S+)", subprocess.run(["ldd", RELEASE], capture_output=True, text=True,
                                                             check=True).stdout))
    install = next(t for w, t in stages()[1][1] if w == "RUN")
    installed = set(install.partition("--no-install-recommends")[2].partition("&&")[0].split())
    owners = set()
    for name in needed:
        if name not in paths:
            continue  # the loader itself
        real = os.path.realpath(paths[name])
        for path in (real, real.removeprefix("/usr")):
            r = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True, check=False)
            if r.returncode == 0:
                owners.add(r.stdout.split(":")[0])
                break
        else:
            pytest.fail(f"no package owns {real}")
    assert owners - {"libc6"} <= installed
    assert installed - owners <= {"ca-certificates"}, "the image holds more than the program needs"
