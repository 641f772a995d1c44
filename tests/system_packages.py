"""The programs that only tests and grading need: where they are, and how they get here.

`make test` runs this file before the tests. As root on Debian or Ubuntu it installs what is
missing; elsewhere it names the command to type, and the tests that need the program are skipped
with a line each, or fail where CI=true.
"""

import os
import shutil
import subprocess
import sys

NAMES = {
    "chromium": ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
    "bubblewrap": ["bwrap"],
    "openssl": ["openssl"],
}


def find(package: str) -> str | None:
    """The path of a package's program, whatever it is called here."""
    return next(filter(None, map(shutil.which, NAMES[package])), None)


def need(package: str) -> str:
    """The path, for a test that cannot run without: skipped where it is missing, failed in CI."""
    import pytest

    path = find(package)
    if path is None:
        complaint = f"{package} is missing: {advice(package)}"
        if in_ci():
            pytest.fail(complaint, pytrace=False)
        pytest.skip(complaint)
    return path


def in_ci() -> bool:
    return os.environ.get("CI") == "true"


def main() -> None:
    wanted = [package for package in NAMES if find(package) is None]
    if not wanted:
        return
    if shutil.which("apt-get") and os.geteuid() == 0:
        listed = " and ".join(filter(None, [", ".join(wanted[:-1]), wanted[-1]]))
        print(f"Installing {listed} with apt-get, for the tests ...", flush=True)
        _install(wanted)
        wanted = [package for package in wanted if find(package) is None]
    fate = "fail" if in_ci() else "are skipped"
    for package in wanted:
        print(f"{package} is missing, so the tests that need it {fate}: {advice(package)}")


def _install(packages: list[str]) -> None:
    """Leaves it to the tests to complain when this fails: they say what they could not do."""
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        done = subprocess.run(
            ["apt-get", *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if done.returncode:
            print(f"apt-get {command[0]} failed:\n{done.stdout[-2000:]}", flush=True)


def advice(package: str) -> str:
    """What to type, as far as it can be known from here."""
    if shutil.which("apt-get"):
        return f"sudo apt-get install -y {package}"
    if package == "bubblewrap" and not sys.platform.startswith("linux"):
        return "it exists on Linux only"
    return f"install {package} with this system's package manager, such as `brew` or `dnf`"


if __name__ == "__main__":
    main()
