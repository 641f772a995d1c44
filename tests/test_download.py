import hashlib

import pytest
from file_server import FileServer, unused_address

from course_utils import download
from course_utils.download import DownloadFailed, fetch

CONTENT = bytes(range(256)) * 2000  # several chunks
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = FileServer()
    server.files["/file"] = CONTENT
    yield server
    server.stop()


def test_a_file_arrives_whole_and_nothing_else_stays(server, tmp_path):
    target = fetch([server.url + "file"], tmp_path / "new" / "file", MD5)
    assert target.read_bytes() == CONTENT
    assert list(target.parent.iterdir()) == [target]


def test_a_file_that_is_there_is_not_fetched_again(server, tmp_path):
    target = tmp_path / "file"
    target.write_bytes(CONTENT)
    fetch([server.url + "file"], target, MD5)
    assert server.asked == []


def test_a_damaged_file_is_replaced(server, tmp_path):
    target = tmp_path / "file"
    target.write_bytes(CONTENT[:-1] + b"?")
    assert fetch([server.url + "file"], target, MD5).read_bytes() == CONTENT


def test_what_arrived_earlier_is_not_asked_for_again(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    assert fetch([server.url + "file"], tmp_path / "file", MD5).read_bytes() == CONTENT
    assert server.asked == [("/file", "bytes=1000-")]


def test_a_connection_that_breaks_is_taken_up_where_it_broke(server, tmp_path):
    server.cut = [70_000, 100_000]
    assert fetch([server.url + "file"], tmp_path / "file", MD5).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=70000-", "bytes=170000-"]


def test_a_connection_that_brings_nothing_more_ends_with_a_sentence(server, tmp_path):
    server.cut = [1000, 0]
    with pytest.raises(DownloadFailed, match=r"file could not be fetched: .*broke.*\.$"):
        fetch([server.url + "file"], tmp_path / "file", MD5)
    assert (tmp_path / "file.part").read_bytes() == CONTENT[:1000]
    assert not (tmp_path / "file").exists()
    assert fetch([server.url + "file"], tmp_path / "file", MD5).read_bytes() == CONTENT
    assert server.asked[-1] == ("/file", "bytes=1000-")


def test_a_server_that_cannot_resume_sends_everything_again(server, tmp_path):
    server.ranges = False
    (tmp_path / "file.part").write_bytes(CONTENT[:1000])
    assert fetch([server.url + "file"], tmp_path / "file", MD5).read_bytes() == CONTENT
    assert len(server.asked) == 1


def test_a_complete_but_unchecked_part_is_used(server, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    assert fetch([server.url + "file"], tmp_path / "file", MD5).read_bytes() == CONTENT
    assert not (tmp_path / "file.part").exists()


def test_a_damaged_beginning_is_thrown_away_and_fetched_anew(server, tmp_path):
    (tmp_path / "file.part").write_bytes(b"?" * 1000)
    assert fetch([server.url + "file"], tmp_path / "file", MD5).read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == ["bytes=1000-", None]


def test_the_wrong_file_is_never_accepted(server, tmp_path):
    server.files["/file"] = CONTENT + b"!"
    with pytest.raises(DownloadFailed, match="wrong checksum"):
        fetch([server.url + "file"], tmp_path / "file", MD5)
    assert list(tmp_path.iterdir()) == []
    assert len(server.asked) == 1


def test_the_next_mirror_is_tried(server, tmp_path):
    mirrors = [unused_address() + "file", server.url + "absent", server.url + "file"]
    assert fetch(mirrors, tmp_path / "file", MD5).read_bytes() == CONTENT


def test_without_a_network_the_reason_is_given(tmp_path, monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with pytest.raises(DownloadFailed, match=r"(?i)file could not be fetched: .*refused"):
        fetch([unused_address() + "file"], tmp_path / "file", MD5)


def test_the_progress_bar_goes_to_stdout_and_is_quiet_when_nobody_looks(
    server, tmp_path, monkeypatch, capsys
):
    fetch([server.url + "file"], tmp_path / "quiet", MD5)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(download, "automated", lambda: False)
    fetch([server.url + "file"], tmp_path / "watched", MD5)
    out, err = capsys.readouterr()
    assert "watched" in out and err == ""
