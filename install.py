"""Sets up everything in .venv, and says what it is doing; `make` runs it before anything else.

Runs on a bare Python with the standard library alone, and is written so that any Python 3 can read
it: one that is too old is to be told so in a sentence. When nothing has changed since the last run
it does nothing; an installation that was interrupted is taken up again.

    python install.py           what the course needs
    python install.py --test    and what its tests need
"""

import hashlib
import os
import platform
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ENVIRONMENT = HERE / ".venv"
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
DONE = ENVIRONMENT / "installed.txt"


def main(arguments):
    try:
        install("--test" in arguments)
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        return f"Installing did not finish; this failed, for the reason above: {command}"
    except KeyboardInterrupt:
        return "Interrupted. The same command takes up the installation again."
    except (OSError, RuntimeError) as error:
        return str(error)


def install(for_tests):
    complaint = too_old(sys.version_info)
    if complaint:
        raise RuntimeError(complaint)
    if is_installed(for_tests):
        return
    if not works():
        create()
    DONE.unlink(missing_ok=True)
    say("Installing the course and what it needs" + download_note() + " ...")
    what = ".[test]" if for_tests else "."
    run(PYTHON, "-m", "pip", "install", "-e", what, "-c", "constraints.txt")
    DONE.write_text(fingerprint() + (" with tests" if for_tests else ""), encoding="utf-8")
    say("Installed.")


def too_old(version):
    if tuple(version[:2]) < (3, 11):
        return (
            "The course needs Python 3.11 or newer, and this one is {}.{}; "
            "name another with `make lab PYTHON=python3.12`.".format(*version[:2])
        )


def is_installed(for_tests):
    """True when the last installation was finished, from these same files and in this place."""
    if not (PYTHON.exists() and DONE.exists()):
        return False
    done = DONE.read_text(encoding="utf-8")
    return done.startswith(fingerprint()) and (not for_tests or done.endswith("with tests"))


def fingerprint():
    """Changes with the dependencies, and with the folder: an environment cannot be moved."""
    parts = [(HERE / name).read_bytes() for name in ("pyproject.toml", "constraints.txt")]
    return hashlib.sha256(b"\0".join([*parts, bytes(HERE)])).hexdigest()


def works():
    """True when .venv holds a Python with pip: not so if its creation was interrupted, or if the
    Python it was made from is gone."""
    if not PYTHON.exists():
        return False
    asked = [str(PYTHON), "-m", "pip", "--version"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.run(asked, **quiet).returncode == 0


def create():
    say("Creating the environment in .venv ...")
    if has_module("ensurepip"):
        run(sys.executable, "-m", "venv", "--clear", ENVIRONMENT)
        return
    # Debian and Ubuntu keep ensurepip in a package of its own; the pip at hand can do its work.
    version = "{}.{}".format(*sys.version_info[:2])
    advice = (
        f"This Python cannot create environments; `sudo apt-get install python{version}-venv` "
        "repairs that on Debian and Ubuntu."
    )
    if not has_module("pip"):
        raise RuntimeError(advice)
    run(sys.executable, "-m", "venv", "--clear", "--without-pip", ENVIRONMENT)
    try:
        run(sys.executable, "-m", "pip", "--quiet", "--python", PYTHON, "install", "pip")
    except subprocess.CalledProcessError as error:
        raise RuntimeError(advice) from error


def has_module(name):
    return (
        subprocess.run(
            [sys.executable, "-c", f"import {name}"], stderr=subprocess.DEVNULL
        ).returncode
        == 0
    )


def download_note():
    if platform.system() == "Linux" and "PIP_EXTRA_INDEX_URL" not in os.environ:
        return (
            " (about 2.9 GB to download with the CUDA build of PyTorch;"
            " on a machine without an NVIDIA GPU 0.4 GB will do: see README.md)"
        )
    return ""


def run(*command):
    subprocess.run([str(part) for part in command], check=True, cwd=str(HERE))


def say(sentence):
    print(sentence, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
