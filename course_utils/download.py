"""Fetch one file over a connection that may break: resumed where it stopped, checked by MD5.

Only the optional data sets need this. (torchvision's own download starts again from zero.)
"""

import hashlib
import http.client
import sys
import urllib.error
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from course_utils.runtime import automated

TIMEOUT = 20  # seconds of silence before a connection counts as broken
CHUNK = 1 << 16


class DownloadFailed(RuntimeError):
    """A file could not be fetched; the message says why in one sentence."""


def fetch(urls: Iterable[str], target: Path, md5: str) -> Path:
    """The file at `target`, fetched from the first mirror that has it unless it is there already.

    What has arrived waits beside it as `<name>.part`: a broken connection is taken up again at
    once for as long as every attempt brings something, and by the next call after that.
    `target` itself only ever appears whole and checked.
    """
    if target.exists() and checksum(target) == md5:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    reason = "no address to fetch it from"
    for url in urls:
        while True:
            had = _size(part)
            try:
                _receive(url, part)
            except (OSError, http.client.HTTPException) as error:
                reason = str(getattr(error, "reason", "") or error) or type(error).__name__
                if _size(part) > had:
                    continue
                break
            if checksum(part) == md5:
                part.replace(target)
                return target
            part.unlink()
            reason = "what arrived has the wrong checksum"
            if not had:  # otherwise an old, damaged beginning may be to blame: once more from zero
                break
    raise DownloadFailed(f"{target.name} could not be fetched: {reason}.")


def checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _receive(url: str, part: Path) -> None:
    """Append what is missing to `part`; raises OSError when the connection ends too early."""
    had = _size(part)
    request = urllib.request.Request(url, headers={"Range": f"bytes={had}-"} if had else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if had and error.code == 416:  # nothing lies beyond what we have: the checksum decides
            return
        raise
    with response:
        resumed = response.status == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {had}-"):
            raise OSError("the server resumed at the wrong place")
        if not resumed:  # it sends everything again
            had = 0
        length = response.headers.get("Content-Length")
        whole = None if length is None else had + int(length)
        with part.open("ab" if resumed else "wb") as file, _bar(part, had, whole) as bar:
            while chunk := response.read(CHUNK):
                file.write(chunk)
                bar.update(len(chunk))
    if whole is not None and _size(part) < whole:
        raise OSError("the connection broke before the end")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bar(part: Path, had: int, whole: int | None) -> tqdm:
    return tqdm(
        desc=part.stem,
        initial=had,
        total=whole,
        unit="B",
        unit_scale=True,
        file=sys.stdout,
        disable=automated(),
    )
