"""Where a program that only tests need is missing: it is installed, or named, skipped, failed."""

import subprocess

import pytest
import system_packages


@pytest.fixture
def machine(monkeypatch):
    """A machine of root's with apt-get and none of the programs: what can be found on it."""
    programs = {"apt-get": "/usr/bin/apt-get"}
    monkeypatch.setattr(system_packages.shutil, "which", programs.get)
    monkeypatch.setattr(system_packages.os, "geteuid", lambda: 0)
    monkeypatch.setattr(system_packages.sys, "platform", "linux")
    monkeypatch.delenv("CI", raising=False)
    return programs


@pytest.fixture
def asked(machine, monkeypatch):
    """What was asked of apt-get, which installs what it is told to."""
    commands = []

    def apt_get(command, **_):
        commands.append(command[1:])
        if command[1] == "install":
            machine.update({name: f"/usr/bin/{name}" for name in ("chromium", "bwrap", "openssl")})
        return subprocess.CompletedProcess(command, 0, stdout="")

    monkeypatch.setattr(system_packages.subprocess, "run", apt_get)
    return commands


def test_root_on_debian_gets_what_is_missing_and_is_told(asked, capsys):
    system_packages.main()
    assert asked[0] == ["update"]
    assert asked[1][0] == "install" and asked[1][-3:] == ["chromium", "bubblewrap", "openssl"]
    said = "Installing chromium, bubblewrap and openssl with apt-get, for the tests ...\n"
    assert capsys.readouterr().out == said


def test_only_what_is_missing_is_installed_and_nothing_when_all_is_there(machine, asked, capsys):
    machine["chromium"] = "/usr/bin/chromium"
    system_packages.main()
    assert asked[1][-2:] == ["bubblewrap", "openssl"] and "chromium" not in asked[1]
    asked.clear()
    capsys.readouterr()
    system_packages.main()
    assert asked == []
    assert capsys.readouterr().out == ""


def test_another_user_is_told_the_command(asked, monkeypatch, capsys):
    monkeypatch.setattr(system_packages.os, "geteuid", lambda: 1000)
    system_packages.main()
    assert asked == []
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].endswith("are skipped: sudo apt-get install -y chromium")


def test_an_apt_get_that_fails_is_shown_and_what_is_missing_named(machine, monkeypatch, capsys):
    def fails(command, **_):
        return subprocess.CompletedProcess(command, 100, stdout="no such package")

    monkeypatch.setattr(system_packages.subprocess, "run", fails)
    monkeypatch.setenv("CI", "true")
    system_packages.main()
    said = capsys.readouterr().out
    assert "apt-get install failed:\nno such package" in said
    assert "chromium is missing, so the tests that need it fail" in said


def test_bubblewrap_is_not_asked_for_where_it_cannot_be(machine, monkeypatch):
    machine.clear()
    monkeypatch.setattr(system_packages.sys, "platform", "darwin")
    assert system_packages.advice("bubblewrap") == "it exists on Linux only"


def test_any_chromium_will_do(machine):
    assert system_packages.find("chromium") is None
    machine["google-chrome"] = "/usr/bin/google-chrome"
    assert system_packages.find("chromium") == "/usr/bin/google-chrome"


def test_a_test_without_its_program_is_skipped_and_fails_in_ci(machine, monkeypatch):
    with pytest.raises(pytest.skip.Exception, match="sudo apt-get install -y chromium"):
        system_packages.need("chromium")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="sudo apt-get install -y chromium"):
        system_packages.need("chromium")
    machine["chromium"] = "/usr/bin/chromium"
    assert system_packages.need("chromium") == "/usr/bin/chromium"
