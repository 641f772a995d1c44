import gzip
import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
import torch
from file_server import FileServer, unused_address
from torchvision.datasets import CIFAR10, FashionMNIST

from course_utils import data

# --- the digits and their three parts


@pytest.fixture
def decided(monkeypatch):
    monkeypatch.setattr(data, "_decided", False)
    data.decisions_are_made()


def test_digits_have_the_promised_sizes_and_types(decided):
    digits, (x_test, y_test) = data.digits(), data.final_test()
    assert digits.name == "digits"
    for x, y, count in (
        (digits.x_train, digits.y_train, 1000),
        (digits.x_val, digits.y_val, 297),
        (x_test, y_test, 500),
    ):
        assert x.shape == (count, 1, 8, 8) and x.dtype == torch.float32
        assert y.shape == (count,) and y.dtype == torch.int64
        assert set(y.tolist()) == set(range(10))


def test_pixels_are_standardised_by_the_training_images(decided):
    digits = data.digits()
    assert digits.x_train.mean().item() == pytest.approx(0, abs=1e-5)
    assert digits.x_train.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    blank = digits.x_train.min()
    assert digits.x_val.min() == blank and data.final_test()[0].min() == blank


def test_no_image_is_in_two_parts(decided):
    digits = data.digits()
    parts = [digits.x_train, digits.x_val, data.final_test()[0]]
    images = [{image.numpy().tobytes() for image in part} for part in parts]
    assert len(set.union(*images)) == sum(len(part) for part in parts) == 1797


def test_the_split_is_the_one_the_checkpoints_were_trained_on():
    digits = data.digits()
    assert digits.y_train[:8].tolist() == [2, 8, 2, 6, 6, 7, 1, 9]
    assert digits.y_val[:8].tolist() == [2, 1, 9, 2, 3, 1, 7, 7]


def test_the_images_are_scikit_learns():
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels, labels = data._shuffled(bunch.images[:, None], bunch.target)
    ours, theirs = data._raw_digits()
    assert (ours == pixels).all() and (theirs == labels).all()
    assert (ours.dtype, theirs.dtype) == (pixels.dtype, labels.dtype)
    assert ours.strides == pixels.strides  # by which torch chooses how it multiplies


def test_damaging_what_was_handed_out_does_not_damage_the_next_copy():
    data.digits().x_train.zero_()
    data.digits().y_train.zero_()
    assert data.digits().x_train.any() and data.digits().y_train.any()


def test_the_data_say_what_they_are():
    assert repr(data.digits()) == (
        "digits: 1000 training and 297 validation images of 1 x 8 x 8 pixels"
    )


def test_the_test_split_stays_closed_until_decisions_are_made(monkeypatch):
    monkeypatch.setattr(data, "_decided", False)
    for name in ("digits", "fashion_mnist", "cifar10"):
        with pytest.raises(data.StillClosed, match="decisions are made on validation"):
            data.final_test(name)
    data.decisions_are_made()
    assert len(data.final_test()[0]) == 500


def test_an_unknown_data_set_is_named(decided):
    with pytest.raises(ValueError, match="no data set 'mnist'; there are digits, fashion_mnist"):
        data.final_test("mnist")


# --- batches


def test_batches_come_in_order_without_a_generator():
    x, y = torch.arange(10.0), torch.arange(10)
    pieces = list(data.batches(x, y, size=4))
    assert [some.tolist() for some, _ in pieces] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert all(torch.equal(some, of.float()) for some, of in pieces)


def test_shuffled_batches_hold_every_image_once_beside_its_label():
    x, y = torch.arange(100.0), torch.arange(100)
    generator = torch.Generator().manual_seed(3)
    first, second = (list(data.batches(x, y, 64, generator)) for _ in range(2))
    order = torch.cat([of for _, of in first])
    assert order.tolist() != list(range(100)) and sorted(order.tolist()) == list(range(100))
    assert all(torch.equal(some, of.float()) for some, of in first)
    assert not torch.equal(order, torch.cat([of for _, of in second]))
    again = torch.cat([of for _, of in data.batches(x, y, 64, torch.Generator().manual_seed(3))])
    assert torch.equal(order, again)


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "64"])
def test_a_batch_size_that_is_none_is_refused_at_once(size):
    with pytest.raises(ValueError, match="batch size must be a whole number, 1 or more"):
        data.batches(torch.zeros(4), torch.zeros(4), size)


def test_images_without_their_labels_are_refused_at_once():
    with pytest.raises(ValueError, match="4 images but 3 labels"):
        data.batches(torch.zeros(4), torch.zeros(3))


# --- the text


@pytest.fixture(scope="module")
def text():
    return data.sentences()


def complete_sentences(text):
    lines = [text.read(line) for line in torch.cat([text.x_train, text.x_val])]
    whole = [sentence for line in lines for sentence in line.removeprefix(". ").split(" . ")[:-1]]
    return [sentence.split() for sentence in whole]


def test_the_text_has_the_promised_sizes_and_the_next_word_beside_each(text):
    assert repr(text) == ("2000 training and 500 validation lines of 32 words, 32 different ones")
    for x, y in ((text.x_train, text.y_train), (text.x_val, text.y_val)):
        assert x.dtype == y.dtype == torch.int64
        assert torch.equal(x[:, 1:], y[:, :-1])
    assert set(text.x_train.unique().tolist()) == set(range(len(set(text.words)))) == set(range(32))
    assert {text.words[line[0]] for line in text.x_train} == {"."}


def test_the_text_is_the_same_every_time_and_none_of_it_is_in_both_parts(text):
    again = data.sentences()
    assert torch.equal(text.x_train, again.x_train) and torch.equal(text.y_val, again.y_val)
    assert text.read(text.x_val[0]).startswith(". the dogs sleep , and the fox sleeps too .")
    both = {tuple(line.tolist()) for line in text.x_train} & {
        tuple(line.tolist()) for line in text.x_val
    }
    assert not both


def test_verbs_agree_with_their_subjects_however_far_these_are(text):
    far = 0
    for words in complete_sentences(text):
        words = [word for word in words if word not in ("old", "small", "red")]
        subject, after = words[words.index("the") + 1], words[words.index("the") + 2]
        skipped = {"near": 5, "that": 6, "(": 7}.get(after, 2)
        verb = words[words.index("the") + skipped]
        assert verb in (data.VERBS if subject in data.NOUNS else data.VERBS.values()), words
        far += skipped > 2
    assert far > 1000


def test_brackets_close_and_words_from_before_the_comma_come_again(text):
    singular = {form: one for one, many in data.VERBS.items() for form in (one, many)}
    echoes = 0
    for words in complete_sentences(text):
        assert words.count("(") == words.count(")")
        if "," in words:
            before, after = words[: words.index(",")], words[words.index(",") + 1 :]
            verb = next(word for word in reversed(before) if word in singular)
            assert singular[next(word for word in after if word in singular)] == singular[verb]
            if after[-1] != "too":
                assert after[2] == before[-1] and after[-1] in before
            echoes += 1
    assert echoes > 1000


def test_the_surprise_is_what_the_words_frequencies_say():
    x, y, surprise = data.written(3000, seed=5)
    nouns = [data.WORDS.index(noun) for noun in data.ALL_NOUNS]
    after_start = y[:, 1]  # the word after ". the"
    for noun in nouns:
        share = (after_start == noun).double().mean().item()
        assert share == pytest.approx(0.6 / 8, abs=0.02)
        assert surprise[after_start == noun, 1].numpy() == pytest.approx(-np.log(0.6 / 8))
    assert (surprise[:, 0] == 0).all() and (y[:, 0] == data.WORDS.index("the")).all()
    after_near = x == data.WORDS.index("near")
    assert (surprise[after_near] == 0).all()


def test_the_least_perplexity_is_that_of_the_writer(text):
    *_, surprise = data.written(500, seed=2)
    assert text.least_perplexity == pytest.approx(np.exp(surprise.mean().item()))
    assert 2 < text.least_perplexity < 4


# --- the data sets that have to be fetched: tiny ones, in the real formats


def idx(array):
    kind = {1: 0x801, 3: 0x803}[array.ndim]
    return struct.pack(f">{1 + array.ndim}i", kind, *array.shape) + array.tobytes()


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = FileServer()
    yield server
    server.stop()


@pytest.fixture
def fashion(server, monkeypatch):
    """A Fashion-MNIST of 12 + 6 pictures, of which 4 are for validation."""
    rng = np.random.RandomState(0)
    arrays = {
        "train-images-idx3-ubyte": rng.randint(0, 256, (12, 28, 28)).astype(np.uint8),
        "train-labels-idx1-ubyte": np.arange(12, dtype=np.uint8) % 10,
        "t10k-images-idx3-ubyte": rng.randint(0, 256, (6, 28, 28)).astype(np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(6, dtype=np.uint8),
    }
    for name, array in arrays.items():
        server.files[f"/{name}.gz"] = gzip.compress(idx(array))
    listed = [(path[1:], md5(content)) for path, content in server.files.items()]
    monkeypatch.setattr(FashionMNIST, "mirrors", [server.url])
    monkeypatch.setattr(FashionMNIST, "resources", listed)
    monkeypatch.setitem(data.VALIDATION, "fashion_mnist", 4)
    return arrays


@pytest.fixture
def cifar(server, monkeypatch):
    """A CIFAR-10 of 2 x 5 + 3 pictures, of which 4 are for validation."""
    rng = np.random.RandomState(0)
    pixels = rng.randint(0, 256, (13, 3072)).astype(np.uint8)
    labels = [i % 10 for i in range(13)]
    contents = {
        "data_batch_1": pickle.dumps({"data": pixels[:5], "labels": labels[:5]}),
        "data_batch_2": pickle.dumps({"data": pixels[5:10], "labels": labels[5:10]}),
        "test_batch": pickle.dumps({"data": pixels[10:], "labels": labels[10:]}),
        "batches.meta": pickle.dumps({"label_names": ["a"] * 10}),
    }
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in {**contents, "../../outside": b"?"}.items():
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    server.files["/cifar.tar.gz"] = packed.getvalue()
    listed = [[name, md5(content)] for name, content in contents.items()]
    monkeypatch.setattr(CIFAR10, "url", server.url + "cifar.tar.gz")
    monkeypatch.setattr(CIFAR10, "tgz_md5", md5(packed.getvalue()))
    monkeypatch.setattr(CIFAR10, "train_list", listed[:2])
    monkeypatch.setattr(CIFAR10, "test_list", listed[2:3])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": listed[3][1]})
    monkeypatch.setitem(data.VALIDATION, "cifar10", 4)
    return pixels.reshape(13, 3, 32, 32)


def the_same_pictures(found, expected):
    """Whether two sets of pictures are the same up to order, brightness and contrast."""

    def normal(pictures):
        pictures = np.asarray(pictures, dtype=np.float64)
        axes = (0, *range(2, pictures.ndim)) if pictures.ndim == 4 else None
        pictures = pictures - pictures.mean(axes, keepdims=True)
        pictures /= pictures.std(axes, keepdims=True)
        flat = pictures.reshape(len(pictures), -1)
        return flat[np.lexsort(flat[:, :3].T)]

    return np.allclose(normal(found), normal(expected), atol=1e-4)


def test_fashion_mnist_is_fetched_read_and_split(fashion, tmp_path, capsys, decided):
    clothes = data.fashion_mnist(tmp_path)
    assert clothes.name == "fashion_mnist"
    assert clothes.x_train.shape == (8, 1, 28, 28) and clothes.x_val.shape == (4, 1, 28, 28)
    assert clothes.x_train.mean().item() == pytest.approx(0, abs=1e-5)
    assert the_same_pictures(
        torch.cat([clothes.x_train, clothes.x_val]), fashion["train-images-idx3-ubyte"][:, None]
    )
    x_test, y_test = data.final_test("fashion_mnist", tmp_path)
    assert y_test.tolist() == [0, 1, 2, 3, 4, 5]
    assert the_same_pictures(x_test, fashion["t10k-images-idx3-ubyte"][:, None])
    blank = [part.min() for part in (clothes.x_train, clothes.x_val, x_test)]
    assert max(blank) - min(blank) < 0.1  # one scale for all
    assert capsys.readouterr() == ("", "")


def test_validation_is_not_simply_the_end_of_the_file(fashion, tmp_path):
    assert sorted(data.fashion_mnist(tmp_path).y_val.tolist()) != [0, 1, 8, 9]


def test_labels_stay_with_their_pictures(fashion, tmp_path):
    clothes = data.fashion_mnist(tmp_path)
    original = fashion["train-images-idx3-ubyte"].reshape(12, -1).astype(np.float64)
    for picture, label in zip(clothes.x_train, clothes.y_train, strict=True):
        likeness = [np.corrcoef(picture.flatten(), other)[0, 1] for other in original]
        assert np.argmax(likeness) % 10 == label


def test_cifar10_is_fetched_read_and_split(cifar, tmp_path, decided):
    photographs = data.cifar10(tmp_path)
    assert photographs.name == "cifar10"
    assert photographs.x_train.shape == (6, 3, 32, 32) and len(photographs.y_val) == 4
    means = photographs.x_train.mean((0, 2, 3))
    assert means.abs().max() < 1e-5
    assert the_same_pictures(torch.cat([photographs.x_train, photographs.x_val]), cifar[:10])
    x_test, y_test = data.final_test("cifar10", tmp_path)
    assert the_same_pictures(x_test, cifar[10:]) and y_test.tolist() == [0, 1, 2]


def test_an_archive_writes_nothing_outside_its_folder(cifar, tmp_path):
    root = tmp_path / "deep" / "root"
    data.cifar10(root)
    assert [path.name for path in tmp_path.rglob("outside")] == []


def test_what_is_there_is_read_without_a_network(fashion, server, tmp_path):
    first = data.fashion_mnist(tmp_path)
    asked = len(server.asked)
    second = data.fashion_mnist(tmp_path)
    assert torch.equal(first.x_train, second.x_train) and len(server.asked) == asked


def test_files_put_there_by_hand_need_no_archives(fashion, tmp_path, monkeypatch):
    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, array in fashion.items():
        (raw / name).write_bytes(idx(array))
    monkeypatch.setattr(FashionMNIST, "mirrors", [unused_address()])
    assert data.fashion_mnist(tmp_path).name == "fashion_mnist"


@pytest.mark.parametrize("left", [b"", b"\0\0\x08\x03\0\0", None])
def test_a_file_that_was_cut_short_is_unpacked_anew(fashion, tmp_path, left):
    whole = data.fashion_mnist(tmp_path)
    file = tmp_path / "FashionMNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1] if left is None else left)
    assert torch.equal(data.fashion_mnist(tmp_path).x_train, whole.x_train)


def test_an_interrupted_download_goes_on_in_the_next_call(fashion, server, tmp_path, capsys):
    server.cut = [500, 0]
    assert data.fashion_mnist(tmp_path).name == "digits"
    assert data.fashion_mnist(tmp_path).name == "fashion_mnist"
    assert ("/train-images-idx3-ubyte.gz", "bytes=500-") in server.asked


def falls_back(load, root, capsys):
    """Whether the digits came instead, announced by one line on stdout and none on stderr."""
    found = load(root)
    out, err = capsys.readouterr()
    assert (found.name, len(found.x_train), err) == ("digits", 1000, "")
    assert out.count("\n") == 1 and out.endswith("The digits take its place.\n")
    return out


def test_without_a_network_the_digits_take_its_place(fashion, cifar, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(FashionMNIST, "mirrors", [unused_address()])
    monkeypatch.setattr(CIFAR10, "url", unused_address() + "cifar.tar.gz")
    assert "fashion_mnist is not available here (train-images" in falls_back(
        data.fashion_mnist, tmp_path, capsys
    )
    assert "cifar10 is not available here (cifar-10" in falls_back(data.cifar10, tmp_path, capsys)


def test_after_a_wrong_checksum_the_digits_take_its_place(fashion, server, tmp_path, capsys):
    server.files["/t10k-images-idx3-ubyte.gz"] += b"?"
    assert "wrong checksum" in falls_back(data.fashion_mnist, tmp_path, capsys)


def test_when_nothing_can_be_written_the_digits_take_its_place(fashion, tmp_path, capsys):
    occupied = tmp_path / "occupied"
    occupied.write_text("not a folder", encoding="utf-8")
    falls_back(data.fashion_mnist, occupied, capsys)


def test_an_archive_with_the_wrong_content_does_not_crash(cifar, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", "0" * 32]])
    assert "unusable" in falls_back(data.cifar10, tmp_path, capsys)


def test_the_final_test_never_falls_back(fashion, tmp_path, monkeypatch, decided):
    monkeypatch.setattr(FashionMNIST, "mirrors", [unused_address()])
    with pytest.raises(data.download.DownloadFailed, match="could not be fetched"):
        data.final_test("fashion_mnist", tmp_path)


def test_downloads_go_to_the_learners_own_folder(fashion, tmp_path, monkeypatch):
    monkeypatch.setenv("PRUNING_COURSE_HOME", str(tmp_path))
    data.fashion_mnist()
    assert (tmp_path / "data" / "FashionMNIST" / "raw" / "train-images-idx3-ubyte").exists()
