"""`course doctor`: each fault, made for real as far as one machine allows, is found and explained,
and what is to be typed mends it."""

import json
import os
import shlex
import shutil
import socket
import sqlite3
import subprocess
import sys
import venv
from contextlib import closing
from importlib import metadata
from pathlib import Path

import pytest
import system_packages

from course_utils import cli, doctor
from course_utils.authoring import made_from
from course_utils.doctor import NOTE, OK, WRONG, Finding
from course_utils.grading import classes, sandbox
from course_utils.study import log

HOUSE = Path(__file__).resolve().parents[1]


def typed(command: str, folder: Path) -> None:
    """Does what the doctor says."""
    subprocess.run(command, shell=True, cwd=folder, check=True, capture_output=True)


# --- All together ---------------------------------------------------------------------------------


def test_where_nothing_is_installed_every_line_is_still_there_and_no_traceback(tmp_path):
    bare = tmp_path / "bare"
    venv.create(bare, symlinks=True, with_pip=False)
    done = subprocess.run(
        [bare / "bin" / "python", "-m", "course_utils.cli", "doctor"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(HOUSE), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == ""
    for what in ("Python", "environment", "packages", "PyTorch", "work folder", "progress folder"):
        assert f" {what}: " in done.stdout
    for what in ("your progress", "notebooks", "JupyterLab", "kernel", "port", "nbgrader"):
        assert f" {what}: " in done.stdout
    assert " isolation: " in done.stdout
    assert "missing: torch, torchvision, numpy" in done.stdout
    assert "kernel: not looked at: jupyter_client is missing" in done.stdout
    assert "--force-reinstall" not in done.stdout, "there is nothing to install again"
    assert f"bare/bin/python -m pip install -e {HOUSE}" in done.stdout
    assert "Traceback" not in done.stdout
    assert "\x1b" not in done.stdout and done.stdout.isascii()


ALL = ("python", "environment", "packages", "torch", "writable", "progress_folder", "kernel")
ALL += ("progress_file", "notebooks", "jupyterlab", "port", "extensions", "isolation", "exchange")


@pytest.fixture
def healthy(monkeypatch):
    """Every look finds all well; tests then break one."""
    for name in ALL:
        monkeypatch.setattr(doctor, name, lambda *_: Finding("well"))
    monkeypatch.setattr(doctor, "class_folder", lambda: None)


def test_a_sound_course_has_nothing_to_type_and_exit_status_0(healthy, capsys):
    assert cli.main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "type:" not in said and WRONG not in said
    assert said.splitlines()[0] == "For the lessons:"
    assert said.splitlines()[-1] == "Nothing that you need is missing."


@pytest.mark.parametrize("state, status", [(OK, 0), (NOTE, 0), (WRONG, 1)])
def test_the_exit_status_is_1_when_something_needed_is_wrong(healthy, monkeypatch, state, status):
    monkeypatch.setattr(doctor, "kernel", lambda: Finding("hm", state, "do this"))
    assert doctor.run() == status


def test_what_only_a_class_needs_counts_in_a_class_folder_alone(healthy, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "isolation", lambda: Finding("no walls", WRONG))
    assert doctor.run() == 0
    monkeypatch.setattr(doctor, "class_folder", lambda: tmp_path)
    assert doctor.run() == 1


def test_a_teacher_need_not_write_where_learners_copies_lie(healthy, monkeypatch, tmp_path):
    monkeypatch.setattr(doctor, "writable", lambda folder, _: Finding("no", _in(folder, tmp_path)))
    assert doctor.run() == 1
    monkeypatch.setattr(doctor, "class_folder", lambda: tmp_path)
    assert doctor.run() == 0


def _in(folder, place) -> str:
    return OK if folder == place else WRONG


def test_a_class_folder_is_known_from_any_folder_inside(tmp_path, monkeypatch):
    inside = tmp_path / "autumn" / "source" / "01"
    inside.mkdir(parents=True)
    monkeypatch.chdir(inside)
    assert doctor.class_folder() is None
    (tmp_path / "autumn" / classes.CONFIG).touch()
    (tmp_path / "autumn" / ".grading").mkdir()
    assert doctor.class_folder() == tmp_path / "autumn"


def test_a_look_that_fails_is_a_line_and_the_others_go_on(healthy, monkeypatch, capsys):
    def fails():
        raise RuntimeError("never\nseen")

    monkeypatch.setattr(doctor, "progress_file", fails)
    assert doctor.run() == 1
    said = capsys.readouterr().out
    assert "WRONG  your progress: could not be looked at (never seen)" in said
    assert "One thing is wrong." in said
    assert "isolation: well" in said


def test_lines_fit_into_80_columns_and_a_command_is_never_broken():
    long = "find " + " ".join(map(str, range(60)))
    lines = doctor.text("kernel", Finding("a word " * 40, WRONG, long)).splitlines()
    assert all(len(line) <= 80 for line in lines[:-1]) and len(lines) > 3
    assert lines[-1].strip() == f"type: {long}"
    assert lines[0].startswith("  WRONG  kernel: a word")


# --- Python and the packages ----------------------------------------------------------------------


def test_a_python_that_is_too_old_is_named_with_the_command(monkeypatch):
    assert doctor.python(HOUSE).state == OK
    monkeypatch.setattr(sys, "version_info", (3, 10, 4, "final", 0))
    found = doctor.python(HOUSE)
    assert found.state == WRONG and found.type == "make lab PYTHON=python3.12"
    assert found.says == "The course needs Python 3.11 or newer, and this one is 3.10"


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone whose .venv runs this process, and was just installed from its files."""
    root = tmp_path / "clone"
    for name in ("install.py", "pyproject.toml", "constraints.txt", "course_utils/cli.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(HOUSE / name, root / name)
    (root / ".venv" / "bin").mkdir(parents=True)
    (root / ".venv" / "bin" / "python").symlink_to(sys.executable)
    installer = doctor._installer(root)
    installer.DONE.write_text(installer.fingerprint(), encoding="utf-8")
    monkeypatch.setattr(sys, "prefix", str(root / ".venv"))
    monkeypatch.chdir(root)
    return root


def test_an_environment_made_from_todays_files_is_well(clone):
    assert doctor.environment(clone) == Finding(f"the course's own, {clone / '.venv'}")


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_an_environment_is_stale_once_what_is_needed_has_changed(clone, name, monkeypatch):
    with open(clone / name, "a", encoding="utf-8") as file:
        file.write("# as a pull brings it\n")
    found = doctor.environment(clone)
    assert found.state == WRONG and found.type == "python3 install.py"
    (clone / "docs").mkdir()
    monkeypatch.chdir(clone / "docs")
    assert doctor.environment(clone).type == f"cd {clone} && python3 install.py"


def test_another_clones_course_is_told_from_the_one_one_stands_in(clone):
    found = doctor.environment(HOUSE)
    assert found.state == WRONG and found.type == "python3 install.py"
    assert str(clone) in found.says and str(HOUSE) in found.says


@pytest.mark.parametrize("inside, whose", [("conda-meta", "conda's"), ("lib", "your own")])
def test_another_environment_than_the_courses_is_only_noted(
    clone, tmp_path, monkeypatch, inside, whose
):
    (tmp_path / "other" / inside).mkdir(parents=True)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "other"))
    found = doctor.environment(clone)
    assert found.state == NOTE and found.says.startswith(whose)


def test_a_copy_that_is_no_clone_is_wrong(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctor.environment(tmp_path).state == WRONG


def pretend(name: str, version: str | None, folder: Path) -> None:
    """A package that says it is installed in this version; None: pip was interrupted."""
    place = folder / f"{name.replace('-', '_')}-{version or 1}.dist-info"
    place.mkdir(parents=True)
    if version:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (place / "METADATA").write_text(text, encoding="utf-8")


def test_the_packages_of_this_environment_fit():
    assert doctor.packages(HOUSE).state in (OK, NOTE)


@pytest.mark.parametrize(
    "name, version, says",
    [
        ("fsrs", "5.1.0", "fsrs 5.1.0 does not fit: >=6 is needed"),
        ("torch", "2.10.0+cpu", "torch 2.10.0+cpu does not fit: >=2.11 is needed"),
        ("torch-pruning", "1.6.2", "torch-pruning 1.6.2 does not fit: ==1.6.1 is needed"),
        ("optuna", None, "missing: optuna"),
    ],
)
def test_a_package_that_does_not_fit_is_named(tmp_path, monkeypatch, name, version, says):
    pretend(name, version, tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    monkeypatch.chdir(HOUSE)
    found = doctor.packages(HOUSE)
    assert (found.says, found.state) == (says, WRONG)
    assert found.type.endswith("-m pip install -e . -c constraints.txt")


def test_a_package_that_a_pull_asks_for_is_missing(clone):
    text = (clone / "pyproject.toml").read_text(encoding="utf-8")
    changed = text.replace("dependencies = [", 'dependencies = [\n    "no-such-package>=2",', 1)
    (clone / "pyproject.toml").write_text(changed, encoding="utf-8")
    assert doctor.packages(clone).says == "missing: no-such-package"


def test_a_version_that_fits_but_was_never_tested_is_only_noted(tmp_path, monkeypatch):
    pretend("optuna", "99.0", tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    found = doctor.packages(HOUSE)
    assert found.state == NOTE and "optuna 99.0 (tested: " in found.says


def broken(name: str, folder: Path, monkeypatch) -> None:
    """A package that is there and cannot be imported."""
    (folder / name).mkdir(parents=True)
    text = f"raise ImportError('lib{name}.so: undefined symbol')\n"
    (folder / name / "__init__.py").write_text(text, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_a_torchvision_that_does_not_fit_torch_is_said_with_both_versions(tmp_path, monkeypatch):
    broken("torchvision", tmp_path, monkeypatch)
    found = doctor.torch()
    assert found.state == WRONG and "libtorchvision.so: undefined symbol" in found.says
    both = [f"{name}=={metadata.version(name)}" for name in ("torch", "torchvision")]
    assert found.type.endswith(" ".join(both))


def test_a_library_of_jupyterlabs_that_is_missing_is_brought(tmp_path, monkeypatch):
    broken("jupyterlab", tmp_path, monkeypatch)
    text = "import one_that_jupyterlab_needs"
    (tmp_path / "jupyterlab" / "__init__.py").write_text(text, encoding="utf-8")
    assert doctor.jupyterlab().type == doctor._restored(HOUSE)


def test_the_cpu_build_is_brought_again_as_the_cpu_build(tmp_path, monkeypatch):
    pretend("torch", "2.11.0+cpu", tmp_path / "site")
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert doctor._again("torch").endswith("/whl/cpu torch==2.11.0+cpu")


# --- Folders and files ----------------------------------------------------------------------------


def test_a_folder_is_writable_before_it_exists_and_nothing_is_left_in_it(tmp_path):
    assert doctor.writable(tmp_path / "a" / "b", "mend").state == OK
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_wrong(tmp_path):
    (tmp_path / "work").touch()  # as root may write into any folder, one that is a file
    for place in (tmp_path / "work", tmp_path / "work" / "deeper"):
        found = doctor.writable(place, "course lab --work ~/pruning")
        assert found.state == WRONG and found.type == "course lab --work ~/pruning"
        assert "cannot be written to" in found.says


def test_a_full_disk_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr(doctor, "ENOUGH", 1e15)
    found = doctor.writable(tmp_path, "mend")
    assert found.state == WRONG and found.type.endswith("-m pip cache purge")


def test_a_progress_folder_that_the_environment_names_is_unset(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("PRUNING_COURSE_HOME", str(tmp_path / "file"))
    assert doctor.progress_folder().type == "unset PRUNING_COURSE_HOME"


def test_a_progress_folder_of_the_system_is_replaced_by_ones_own(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.delenv("PRUNING_COURSE_HOME")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("platformdirs.unix.Unix.user_data_dir", str(tmp_path / "file"))
    found = doctor.progress_folder()
    assert found.type == f"export PRUNING_COURSE_HOME={Path.home() / 'pruning-progress'}"


@pytest.fixture
def learner(tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNING_COURSE_HOME", str(tmp_path / "learner"))
    return tmp_path


def test_progress_that_can_be_read_is_counted(learner):
    assert doctor.progress_file() == Finding("nothing is written down yet")
    log.append("check", "one", score=1)
    log.append("check", "two", score=0.5)
    assert doctor.progress_file() == Finding(f"2 entries in {log.path()}")


def test_an_entry_that_cannot_be_read_is_taken_out_by_what_is_typed(learner):
    for score in (0, 0.5, 1):
        log.append("check", "one", score=score)
    with closing(sqlite3.connect(log.path())) as database, database:
        database.execute("UPDATE events SET data = '{\"score\": 0.' WHERE id = 2")
    found = doctor.progress_file()
    assert found.state == WRONG and found.says.startswith("1 of 3 entries cannot be read")
    typed(found.type, Path.cwd())
    assert doctor.progress_file().says.startswith("2 entries")
    assert [event.data["score"] for event in log.read("check")] == [0, 1]


def test_a_damaged_file_is_said_and_the_log_does_with_it_what_is_said(learner, capsys):
    log.append("check", "one", score=1)
    log.path().write_bytes(b"no database at all, but long enough to be one" * 40)
    found = doctor.progress_file()
    assert found.state == WRONG and "is damaged" in found.says
    assert found.type.endswith("course progress")
    assert log.path().exists(), "the doctor changes nothing"
    log.read("check")  # as `course progress` does
    assert doctor.progress_file().state == OK
    assert len(list(log.path().parent.glob("progress-damaged-*.sqlite3"))) == 1


def test_a_file_in_use_is_not_taken_for_a_damaged_one(learner):
    log.append("check", "one", score=1)
    with closing(sqlite3.connect(log.path(), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        found = doctor.progress_file()
    assert found.state == NOTE and "is in use" in found.says


def test_a_folder_in_the_place_of_the_progress_file_is_wrong(learner):
    log.path().mkdir(parents=True)
    assert doctor.progress_file().state == WRONG


@pytest.fixture
def lessons(tmp_path):
    """A clone of two lessons, built and committed."""
    root = tmp_path / "lessons"
    for folder in ("solutions", "notebooks", "work"):
        (root / folder).mkdir(parents=True)
    for name in ("01_one", "02_two"):
        source = root / "solutions" / f"{name}.py"
        source.write_text("# %%\n1 + 1\n", encoding="utf-8")
        record = {"made_from": {f"solutions/{name}.py": doctor._digest(source)}}
        solution = {"cells": [], "metadata": {"pruning_course": record}}
        student = {"cells": [{"cell_type": "code", "source": "1 + 1", "outputs": []}]}
        for folder, content in (("solutions", solution), ("notebooks", student)):
            (root / folder / f"{name}.ipynb").write_text(json.dumps(content), encoding="utf-8")
    for words in ("init -q", "add .", "-c user.name=a -c user.email=a@b.c commit -qm one"):
        subprocess.run(["git", *words.split()], cwd=root, check=True)
    return root


def test_built_lessons_are_well_here_too(lessons):
    assert doctor.notebooks(lessons) == Finding("2 lessons")
    assert doctor.notebooks(HOUSE).state in (OK, NOTE)


def test_a_missing_notebook_is_brought_back_by_what_is_typed(lessons):
    (lessons / "notebooks" / "02_two.ipynb").unlink()
    found = doctor.notebooks(lessons)
    assert found.state == WRONG and found.says == "missing: 02_two"
    typed(found.type, lessons)
    assert doctor.notebooks(lessons).state == OK


def test_without_git_a_missing_notebook_is_built(lessons):
    shutil.rmtree(lessons / ".git")
    (lessons / "notebooks" / "02_two.ipynb").unlink()
    assert doctor.notebooks(lessons).type.endswith("course build 02")


@pytest.mark.parametrize("text", ['{"cells": [{"outputs": [{"text": "2"}]}]}', "<<<<<<< HEAD"])
def test_a_notebook_that_somebody_worked_in_is_moved_and_not_lost(lessons, text):
    (lessons / "notebooks" / "01_one.ipynb").write_text(text, encoding="utf-8")
    found = doctor.notebooks(lessons)
    assert found.state == WRONG and "somebody worked in" in found.says
    typed(found.type, lessons)
    assert (lessons / "work" / "01_one-mine.ipynb").read_text(encoding="utf-8") == text
    typed(doctor.notebooks(lessons).type, lessons)
    assert doctor.notebooks(lessons).state == OK


def test_a_changed_source_is_noted_for_its_author(lessons):
    (lessons / "solutions" / "01_one.py").write_text("# %%\n1 + 2\n", encoding="utf-8")
    found = doctor.notebooks(lessons)
    assert found.state == NOTE and found.says.endswith("since they were built: 01")
    assert found.type.endswith("course build")


def test_a_folder_without_lessons_is_wrong(tmp_path):
    assert doctor.notebooks(tmp_path).state == WRONG


def test_a_file_is_known_by_the_digest_that_the_build_writes_down(tmp_path):
    for content in (b"text\r\nof two lines\n", b"\0picture\r\n"):
        (tmp_path / "file").write_bytes(content)
        assert doctor._digest(tmp_path / "file") == made_from.digest(tmp_path / "file")


# --- Jupyter --------------------------------------------------------------------------------------


def test_a_jupyterlab_that_does_not_start_is_installed_again(tmp_path, monkeypatch):
    broken("jupyterlab", tmp_path, monkeypatch)
    found = doctor.jupyterlab()
    assert found.state == WRONG and "libjupyterlab.so: undefined symbol" in found.says
    version = metadata.version("jupyterlab")
    assert found.type.endswith(f"--no-deps jupyterlab=={version}")


def test_the_kernel_of_this_environment_is_well():
    assert doctor.kernel() == Finding(f"python3 runs in {sys.prefix}")


@pytest.mark.parametrize("exists", ["with a kernel", "bare", ""])
def test_a_kernel_of_the_same_name_before_it_is_found_and_moved_aside(
    tmp_path, monkeypatch, exists
):
    program = tmp_path / "other" / "bin" / "python"
    if exists:
        venv.create(tmp_path / "other", symlinks=True, with_pip=False)
    if exists == "with a kernel":
        (site,) = (tmp_path / "other").glob("lib/*/site-packages")
        (site / "ipykernel.py").touch()
    folder = tmp_path / "kernels" / "python3"
    folder.mkdir(parents=True)
    argv = [str(program), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python 3", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    found = doctor.kernel()
    assert found.state == WRONG and str(folder) in found.says and str(program) in found.says
    typed(found.type, tmp_path)
    assert doctor.kernel().state == OK


@pytest.fixture
def taken():
    """A port that a program of somebody's listens on."""
    with closing(socket.socket()) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def test_a_taken_port_is_noted_with_the_one_that_the_lab_takes(taken):
    found = doctor.port(taken)
    assert found.state == NOTE and found.type == ""
    assert f"{taken} is taken by another program; `course lab` takes " in found.says
    assert doctor.port(int(found.says.split()[-1])).state == OK


def test_a_port_that_ones_own_jupyterlab_has_is_told_by_its_folder(taken, tmp_path, monkeypatch):
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    server = {"pid": os.getpid(), "port": taken, "root_dir": "/somewhere/work"}
    (tmp_path / f"jpserver-{os.getpid()}.json").write_text(json.dumps(server), encoding="utf-8")
    found = doctor.port(taken)
    assert "by your JupyterLab on /somewhere/work" in found.says
    assert found.type.endswith(f"jupyter server stop {taken}")


def test_nbgraders_pages_are_there_for_a_teacher():
    found = doctor.extensions()
    version = metadata.version("nbgrader")
    assert found == Finding(f"{version}, with its pages in JupyterLab")


def test_a_page_of_nbgraders_that_is_switched_off_is_found(tmp_path, monkeypatch):
    name = "nbgrader.server_extensions.formgrader"
    config = {"ServerApp": {"jpserver_extensions": {name: False}}}
    (tmp_path / "jupyter_server_config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    found = doctor.extensions()
    assert (found.says, found.state) == ("switched off: formgrader", WRONG)
    assert f"jupyter server extension enable --sys-prefix {name}" in found.type


def test_nbgraders_menus_that_are_switched_off_are_found(tmp_path, monkeypatch):
    (tmp_path / "labconfig").mkdir()
    config = {"disabledExtensions": {"@jupyter/nbgrader": True}}
    page = tmp_path / "labconfig" / "page_config.json"
    page.write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path))
    found = doctor.extensions()
    assert found.state == WRONG and "menus" in found.says
    assert found.type.endswith("labextension enable --level=sys_prefix @jupyter/nbgrader")


# --- Isolation ------------------------------------------------------------------------------------


def test_a_sandbox_really_starts():
    system_packages.need("bubblewrap")
    assert doctor.isolation() == Finding("bubblewrap is there, and code runs behind its walls")


@pytest.fixture
def a_class(tmp_path):
    """A class whose homework goes through a folder of its own."""
    folder = tmp_path / "autumn"
    (folder / ".grading").mkdir(parents=True)
    config = classes.CONFIG_TEXT.format(course_id="autumn")
    config += f'\nc.Exchange.root = "{tmp_path / "exchange"}"\n'
    (folder / classes.CONFIG).write_text(config, encoding="utf-8")
    return folder


def test_an_exchange_is_missing_then_closed_then_well(a_class, tmp_path):
    place = tmp_path / "exchange"
    missing = doctor.exchange(a_class)
    assert missing.state == NOTE and f"no {place}" in missing.says
    place.mkdir(mode=0o700)
    closed = doctor.exchange(a_class)
    assert closed.state == NOTE and "not everybody" in closed.says
    assert missing.type == closed.type == f"sudo install -d -m 1777 {place}"
    subprocess.run(shlex.split(closed.type)[1:], check=True)
    assert doctor.exchange(a_class).state == OK


def test_a_mistake_in_the_settings_of_a_class_is_said(a_class):
    with (a_class / classes.CONFIG).open("a", encoding="utf-8") as config:
        config.write("c.Exchange.root = 1 / 0\n")
    with pytest.raises(ValueError, match="has a mistake in it: division by zero"):
        doctor.exchange(a_class)


def test_without_bubblewrap_the_command_that_brings_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", "linux")
    found = doctor.isolation()
    assert found.state == WRONG and "bubblewrap is missing" in found.says
    assert found.type == "sudo apt-get install bubblewrap"


@pytest.fixture
def forbidden(tmp_path, monkeypatch):
    """A bubblewrap that may not make a namespace, as under an ordinary user of some systems."""
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'setting up uid map: Permission denied' >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)


def test_walls_that_the_system_forbids_are_said_with_its_switch(forbidden, tmp_path, monkeypatch):
    kernel, advice = tmp_path / "sys", sandbox._what_to_type
    (kernel / "kernel").mkdir(parents=True)
    switch = "apparmor_restrict_unprivileged_userns"
    (kernel / "kernel" / switch).write_text("1\n", encoding="utf-8")
    monkeypatch.setattr(sandbox, "_what_to_type", lambda: advice(kernel))
    found = doctor.isolation()
    assert found.state == WRONG and "Permission denied" in found.says
    assert found.type == f"sudo sysctl -w kernel.{switch}=0"


def test_walls_that_fail_for_another_reason_lead_to_the_guide(forbidden, tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "_what_to_type", lambda: "")
    found = doctor.isolation()
    assert found.state == WRONG and found.type == ""
    assert found.says.endswith("docs/grading.md says how to grade without.")
    assert "--not-isolated" in (HOUSE / "docs" / "grading.md").read_text(encoding="utf-8")
