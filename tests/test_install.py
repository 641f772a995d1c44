"""`install.py`: when it has to work, when it may rest, and what it says when it cannot.

The installation itself is tested by whoever runs these tests: `make test` has just done it.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

HOUSE = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOUSE))
import install  # noqa: E402


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone in which nothing is installed, and where pip is not called but written down."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).write_bytes((HOUSE / name).read_bytes())
    environment = tmp_path / ".venv"
    monkeypatch.setattr(install, "HERE", tmp_path)
    monkeypatch.setattr(install, "ENVIRONMENT", environment)
    monkeypatch.setattr(install, "PYTHON", environment / "bin" / "python")
    monkeypatch.setattr(install, "DONE", environment / "installed.txt")
    return tmp_path


@pytest.fixture
def commands(clone, monkeypatch):
    ran = []

    def pretend(*command):
        ran.append(" ".join(str(part) for part in command))
        if "venv" in command:
            install.PYTHON.parent.mkdir(parents=True)
            install.PYTHON.symlink_to(sys.executable)

    monkeypatch.setattr(install, "run", pretend)
    monkeypatch.setattr(install, "has_module", lambda name: True)  # Debian's Python may lack them
    return ran


def test_a_bare_clone_gets_an_environment_and_the_pinned_packages(commands, capsys):
    assert install.main([]) is None
    assert [command.split()[1:3] for command in commands] == [["-m", "venv"], ["-m", "pip"]]
    assert commands[1].endswith("install -e . -c constraints.txt")
    said = capsys.readouterr().out
    assert "Creating the environment in .venv ..." in said
    assert "Installing" in said


def test_the_second_time_there_is_nothing_to_do_or_say(commands, capsys):
    install.main([])
    commands.clear()
    capsys.readouterr()
    install.main([])
    assert commands == []
    assert capsys.readouterr().out == ""


def test_the_tests_need_more_and_after_them_the_lab_needs_nothing(commands):
    install.main([])
    commands.clear()
    install.main(["--test"])
    assert [command.split(" install ")[1] for command in commands] == [
        "-e .[test] -c constraints.txt"
    ]
    commands.clear()
    install.main([])
    install.main(["--test"])
    assert commands == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_change_in_what_is_needed_installs_again(commands, clone, name):
    install.main([])
    commands.clear()
    with open(clone / name, "a", encoding="utf-8") as file:
        file.write("# changed\n")
    install.main([])
    assert len(commands) == 1


def test_a_moved_clone_installs_again(commands, clone, monkeypatch):
    install.main([])
    commands.clear()
    monkeypatch.setattr(install, "fingerprint", lambda: "of another place")
    install.main([])
    assert len(commands) == 1


def test_the_place_is_part_of_the_fingerprint(clone, tmp_path_factory, monkeypatch):
    here = install.fingerprint()
    there = tmp_path_factory.mktemp("there")
    for name in ("pyproject.toml", "constraints.txt"):
        (there / name).write_bytes((clone / name).read_bytes())
    monkeypatch.setattr(install, "HERE", there)
    assert install.fingerprint() != here


def test_an_interrupted_installation_is_taken_up_again(commands, monkeypatch):
    install.main([])
    install.DONE.unlink()
    commands.clear()

    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(install, "run", interrupted)
        assert "Interrupted" in install.main([])
    install.main([])
    assert len(commands) == 1, "pip runs again; the environment, which works, is kept"


def test_a_failing_pip_is_one_sentence_and_not_taken_for_done(commands, monkeypatch):
    install.main([])
    install.DONE.unlink()

    def fails(*command):
        raise subprocess.CalledProcessError(1, command)

    with monkeypatch.context() as patch:
        patch.setattr(install, "run", fails)
        said = install.main([])
    assert said.startswith("Installing did not finish") and "\n" not in said
    assert not install.is_installed(False)


def test_an_environment_whose_python_is_gone_is_made_again(commands):
    install.main([])
    install.PYTHON.unlink()
    install.PYTHON.symlink_to("nowhere")
    assert not install.is_installed(False)
    assert not install.works()


def test_without_ensurepip_the_pip_at_hand_does_its_work(commands, monkeypatch):
    monkeypatch.setattr(install, "has_module", lambda name: name != "ensurepip")
    install.create()
    assert "--without-pip" in commands[0]
    assert commands[1].startswith(f"{sys.executable} -m pip --quiet --python {install.PYTHON}")


def test_without_ensurepip_and_pip_the_command_to_type_is_named(commands, monkeypatch):
    monkeypatch.setattr(install, "has_module", lambda name: False)
    said = install.main([])
    version = "{}.{}".format(*sys.version_info[:2])
    assert f"apt-get install python{version}-venv" in said
    assert "\n" not in said
    assert commands == []


def test_a_python_that_is_too_old_is_told_so_in_one_sentence(monkeypatch):
    assert install.too_old((3, 11)) is None
    assert install.too_old((3, 15)) is None
    assert "3.11 or newer, and this one is 3.10" in install.too_old((3, 10, 4))
    assert "\n" not in install.too_old((3, 6))


def test_any_python_3_can_read_the_file():
    source = (HOUSE / "install.py").read_text(encoding="utf-8")
    ast.parse(source, feature_version=(3, 6))


def test_cpu_users_who_did_their_part_are_not_warned_of_the_large_download(monkeypatch):
    monkeypatch.setattr(install.platform, "system", lambda: "Linux")
    monkeypatch.delenv("PIP_EXTRA_INDEX_URL", raising=False)
    assert "CUDA" in install.download_note()
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://download.pytorch.org/whl/cpu")
    assert install.download_note() == ""
