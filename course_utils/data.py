"""The images of the course: always the digits; Fashion-MNIST and CIFAR-10 for those online.
And a text, for the bonus lesson, that the course writes itself.

Every data set comes as training and validation images. Decisions are made on validation: the
test images stay closed until a lesson's last step says that its decisions are made.
"""

import gzip
import math
import shutil
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from course_utils import download
from course_utils.runtime import state_dir

VALIDATION = {"digits": 297, "fashion_mnist": 5000, "cifar10": 5000}
DIGITS_TEST = 500

_decided = False


class StillClosed(RuntimeError):
    """The test images were asked for while decisions were still being made."""


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """A data set without its test part: float32 images (N, C, H, W) and int64 labels.

    Pixels are standardised: mean 0 and standard deviation 1, channel by channel, over the
    training images. (With plain 0..1 pixels our LeNet ends two points lower.)
    """

    name: str
    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor

    def __repr__(self) -> str:
        shape = " x ".join(str(size) for size in self.x_train.shape[1:])
        return (
            f"{self.name}: {len(self.x_train)} training and {len(self.x_val)} validation images "
            f"of {shape} pixels"
        )


def digits() -> Images:
    """1,797 real handwritten digits of 8 x 8 pixels that scikit-learn carries in its package.

    1,000 to train on, 297 to decide with, 500 kept for `final_test`.
    """
    pixels, labels = _raw_digits()
    return _training_part("digits", pixels[:-DIGITS_TEST], labels[:-DIGITS_TEST])


def fashion_mnist(root: Path | str | None = None) -> Images:
    """70,000 pictures of clothes, 28 x 28 (30 MB to fetch once); the digits where that fails."""
    return _fetched_or_digits("fashion_mnist", root)


def cifar10(root: Path | str | None = None) -> Images:
    """60,000 colour photographs, 32 x 32 (170 MB to fetch once); the digits where that fails."""
    return _fetched_or_digits("cifar10", root)


@dataclass(frozen=True, eq=False, repr=False)
class Text:
    """Lines of words as int64 numbers (N, 32): what was read, and beside each word the next one.

    `least_perplexity` is what somebody who knows the grammar by heart reaches on the validation
    lines: the text is written by chance, and chance cannot be foreseen.
    """

    words: tuple[str, ...]
    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor
    least_perplexity: float

    def read(self, line: Tensor) -> str:
        return " ".join(self.words[number] for number in line.tolist())

    def __repr__(self) -> str:
        return (
            f"{len(self.x_train)} training and {len(self.x_val)} validation lines of "
            f"{self.x_train.shape[1]} words, {len(self.words)} different ones"
        )


def sentences() -> Text:
    """2,000 lines of a little English to train on and 500 to decide with, always the same.

    A verb agrees with its subject, which may stand some way back; a bracket that opens closes;
    after a comma, words from before it come again. See `_Writer`.
    """
    x_train, y_train, _ = written(2000, seed=1)
    x_val, y_val, surprise = written(500, seed=2)
    least = math.exp(surprise.mean().item())
    return Text(WORDS, x_train, y_train, x_val, y_val, least)


def written(count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """So many lines: their words, the words that follow, and how surprising each of these is, in
    nats, for whoever knows the grammar (0 where it leaves no choice)."""
    lines, surprise = _lines(count, seed)
    return torch.tensor(lines[:, :-1]), torch.tensor(lines[:, 1:]), torch.tensor(surprise)


@lru_cache
def _lines(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    writer = _Writer(seed)
    lines, surprises = zip(*(writer.line() for _ in range(count)), strict=True)
    number = {word: place for place, word in enumerate(WORDS)}
    return np.array([[number[word] for word in line] for line in lines]), np.array(surprises)


LINE = 32  # words of a line, to which the one after the last is added
NOUNS = {"cat": "cats", "dog": "dogs", "bird": "birds", "fox": "foxes"}
INTRANSITIVE = {"sleeps": "sleep", "runs": "run", "sings": "sing"}
TRANSITIVE = {"sees": "see", "likes": "like", "hears": "hear"}
VERBS = {**INTRANSITIVE, **TRANSITIVE}
ADJECTIVES = ("old", "small", "red")
ALL_NOUNS = (*NOUNS, *NOUNS.values())
MARKS = (".", ",", "(", ")", "the", "and", "that", "near", "too")
WORDS = (*MARKS, *ADJECTIVES, *ALL_NOUNS, *VERBS, *VERBS.values())


class _Writer:
    """Writes lines of sentences and notes how surprising each word is.

    Each choice shows at once in the word it leads to, so the probability of the choice is the
    word's own, given all words before it.
    """

    def __init__(self, seed: int):
        self.dice = np.random.RandomState(seed)  # its numbers are promised never to change
        self.words: list[str] = []
        self.surprise: list[float] = []

    def line(self) -> tuple[list[str], list[float]]:
        """A full stop and 32 more words: the last sentence may break off."""
        self.words, self.surprise = ["."], []
        while len(self.words) <= LINE:
            self._sentence()
        return self.words[: LINE + 1], self.surprise[:LINE]

    def _sentence(self) -> None:
        subject = self._noun(adjectives=True)
        verb = self._verb(VERBS, subject, {"near": 0.2, "that": 0.15, "(": 0.15})
        if verb in ("near", "that", "("):
            other = self._noun()
            if verb == "that":
                self._verb(TRANSITIVE, other)
            elif verb == "(":
                self._verb(INTRANSITIVE, other)
                self._say(")")
            verb = self._verb(VERBS, subject)
        singular = next(one for one, many in VERBS.items() if verb in (one, many))
        last = None if singular in INTRANSITIVE else self._noun()
        if self._choose({".": 0.5, ",": 0.5}) == ".":
            return
        self._say("and")
        if last is None:
            self._say(self._form(singular, self._noun()), "too", ".")
        else:
            self._say("the", last, self._form(singular, last), "the", subject, ".")

    def _noun(self, adjectives: bool = False) -> str:
        self._say("the")
        chance = 0.4 if adjectives else 0.0
        nouns = dict.fromkeys(ALL_NOUNS, (1 - chance) / len(ALL_NOUNS))
        word = self._choose(nouns | dict.fromkeys(ADJECTIVES[: 3 * adjectives], chance / 3))
        return word if word in ALL_NOUNS else self._choose(dict.fromkeys(ALL_NOUNS, 1 / 8))

    def _verb(self, verbs: dict[str, str], noun: str, instead: dict[str, float] | None = None):
        instead = instead or {}
        forms = [self._form(verb, noun) for verb in verbs]
        return self._choose(
            dict.fromkeys(forms, (1 - sum(instead.values())) / len(forms)) | instead
        )

    @staticmethod
    def _form(verb: str, noun: str) -> str:
        return verb if noun in NOUNS else VERBS[verb]

    def _say(self, *words: str) -> None:
        self.words += words
        self.surprise += [0.0] * len(words)

    def _choose(self, chances: dict[str, float]) -> str:
        reach = np.cumsum(list(chances.values()))
        drawn = np.searchsorted(reach, self.dice.random_sample() * reach[-1], side="right")
        word = list(chances)[drawn]
        self.words.append(word)
        self.surprise.append(-math.log(chances[word] / reach[-1]))
        return word


def decisions_are_made() -> None:
    """Declare, at a lesson's last step, that nothing will be chosen any more: opens the test."""
    global _decided
    _decided = True


def final_test(name: str = "digits", root: Path | str | None = None) -> tuple[Tensor, Tensor]:
    """The test images and labels of a data set (`data.name`). The only way to them.

    Whoever picks the best of twenty networks on the test images has a figure that no new image
    will confirm. So this raises `StillClosed` until `decisions_are_made()` was called.
    """
    _require_known(name)
    if not _decided:
        raise StillClosed(
            "The test split stays closed until the lesson's last step: "
            "decisions are made on validation (x_val, y_val)."
        )
    if name == "digits":
        pixels, labels = _raw_digits()
        seen, test = pixels[:-DIGITS_TEST], pixels[-DIGITS_TEST:]
        test_labels = labels[-DIGITS_TEST:]
    else:
        seen, _ = _raw_downloaded(name, _folder(root), train=True)
        test, test_labels = _raw_downloaded(name, _folder(root), train=False)
    mean, deviation = _scale(seen[: -VALIDATION[name]])
    return _standardised(test, mean, deviation), torch.tensor(test_labels)


def batches(
    x: Tensor, y: Tensor, size: int = 64, generator: torch.Generator | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """(x, y) in pieces of `size`, the last one perhaps smaller; shuffled if given a generator."""
    if len(x) != len(y):
        raise ValueError(f"there are {len(x)} images but {len(y)} labels.")
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"a batch size must be a whole number, 1 or more, not {size!r}.")
    return _pieces(x, y, size, generator)


def _pieces(
    x: Tensor, y: Tensor, size: int, generator: torch.Generator | None
) -> Iterator[tuple[Tensor, Tensor]]:
    if generator is None:
        order = torch.arange(len(x))
    else:
        order = torch.randperm(len(x), generator=generator)
    for some in order.split(size):
        yield x[some], y[some]


def _training_part(name: str, pixels: np.ndarray, labels: np.ndarray) -> Images:
    held = VALIDATION[name]
    mean, deviation = _scale(pixels[:-held])
    return Images(
        name,
        x_train=_standardised(pixels[:-held], mean, deviation),
        y_train=torch.tensor(labels[:-held]),
        x_val=_standardised(pixels[-held:], mean, deviation),
        y_val=torch.tensor(labels[-held:]),
    )


def _scale(pixels: np.ndarray) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel, shaped to go with a batch of images."""
    channels = [pixels[:, channel] for channel in range(pixels.shape[1])]  # saves memory
    mean = torch.tensor([channel.mean(dtype=np.float64) for channel in channels])
    deviation = torch.tensor([channel.std(dtype=np.float64) for channel in channels])
    return mean.view(1, -1, 1, 1), deviation.view(1, -1, 1, 1)


def _standardised(pixels: np.ndarray, mean: Tensor, deviation: Tensor) -> Tensor:
    return torch.tensor(pixels, dtype=torch.float32).sub_(mean).div_(deviation)


@lru_cache
def _raw_digits() -> tuple[np.ndarray, np.ndarray]:
    # A file of scikit-learn's; to import all of that for it would take a second.
    (sklearn,) = find_spec("sklearn").submodule_search_locations
    rows = np.loadtxt(Path(sklearn, "datasets", "data", "digits.csv.gz"), delimiter=",")
    images = rows[:, :-1].reshape(-1, 8, 8)
    return _shuffled(images[:, None], rows[:, -1].astype(np.int64))


def _shuffled(pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Always the same shuffle: RandomState's numbers are promised never to change."""
    order = np.random.RandomState(0).permutation(len(pixels))
    return pixels[order], labels[order].astype(np.int64)


def _fetched_or_digits(name: str, root: Path | str | None) -> Images:
    try:
        pixels, labels = _raw_downloaded(name, _folder(root), train=True)
    except (download.DownloadFailed, OSError) as problem:
        print(f"{name} is not available here ({problem}) The digits take its place.")
        return digits()
    return _training_part(name, pixels, labels)


def _folder(root: Path | str | None) -> Path:
    return state_dir() / "data" if root is None else Path(root)


def _raw_downloaded(name: str, root: Path, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, C, H, W) and labels, read by torchvision from `root`, fetched first if need be."""
    from torchvision.datasets import CIFAR10, FashionMNIST

    reader = {"fashion_mnist": FashionMNIST, "cifar10": CIFAR10}[name]
    try:
        dataset = reader(root, train=train, download=False)
    except Exception:  # absent, or damaged in whichever way: fetch what is missing, unpack anew
        _fetch(reader, root)
        try:
            dataset = reader(root, train=train, download=False)
        except Exception as problem:
            raise download.DownloadFailed(f"what was fetched is unusable: {problem}.") from problem
    pixels, labels = np.asarray(dataset.data), np.asarray(dataset.targets)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    return _shuffled(pixels, labels) if train else (pixels, labels.astype(np.int64))


def _fetch(reader: type, root: Path) -> None:
    """Bring the archives, from the addresses and with the checksums that torchvision lists."""
    if hasattr(reader, "mirrors"):
        folder = root / reader.__name__ / "raw"
        for file, md5 in reader.resources:
            archive = download.fetch([m + file for m in reader.mirrors], folder / file, md5)
            # torchvision looks for the uncompressed files when it is not to download
            with gzip.open(archive) as packed:
                _write(packed, archive.with_suffix(""))
    else:
        archive = download.fetch([reader.url], root / reader.filename, reader.tgz_md5)
        with tarfile.open(archive) as packed:
            for member in packed:
                if member.isfile() and Path(member.name).parent == Path(reader.base_folder):
                    _write(packed.extractfile(member), root / member.name)


def _write(source, target: Path) -> None:
    """Copy a stream to a file that appears only when it is whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    unfinished = target.with_name(target.name + ".unpacking")
    with unfinished.open("wb") as file:
        shutil.copyfileobj(source, file)
    unfinished.replace(target)


def _require_known(name: str) -> None:
    if name not in VALIDATION:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(VALIDATION)}.")
