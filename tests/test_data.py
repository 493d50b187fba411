"""Data sets: what they hold, how they are scaled, and what is said when files are not right.

No test here touches the net: `urlopen` is replaced by one that counts calls and refuses.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from initlab import data
from initlab import files as stored
from initlab.data import NAMES, SCALINGS, SHAPES, Data, DataError, load
from initlab.spec import canonical, from_plain, key, to_plain

EMBEDDED = ("digits", "gaussian")
REAL = tuple(stored.FILES)
SIZES = {
    "digits": (1_437, 360),
    "gaussian": (2_000, 500),
    "mnist": (60_000, 10_000),
    "fashion_mnist": (60_000, 10_000),
    "cifar10": (50_000, 10_000),
    "cifar100": (50_000, 10_000),
    "emnist": (104_691, 11_632),
    "hasy": (151_410, 16_823),
    "tiny_imagenet": (100_000, 10_000),
}
CLASSES = {"cifar100": 100, "emnist": 62}  # the others have ten


def real(*names: str) -> list:
    """Names of real sets as parameters, each marked as what needs its files."""
    return [pytest.param(name, marks=pytest.mark.data(name)) for name in names]


@pytest.fixture(autouse=True)
def refused(monkeypatch) -> list[str]:
    """Refuse every download; the addresses that were asked for."""
    asked: list[str] = []

    def urlopen(request, *args, **kwargs):
        asked.append(getattr(request, "full_url", request))
        raise URLError("no net in this test")

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


@pytest.fixture(autouse=True)
def fresh_cache():
    """No set loaded by one test is given to another: the files may not be the same."""
    data._load.cache_clear()
    yield
    data._load.cache_clear()


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """An empty torchvision root."""
    here = tmp_path / "data"
    here.mkdir()
    monkeypatch.setenv("INITLAB_DATA", str(here))
    return here


def tree(folder: Path) -> dict[str, bytes | None]:
    """Everything under a folder, with its content."""
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in folder.rglob("*")
    }


# What the sets hold


def test_every_name_has_a_shape_and_two_sizes():
    assert tuple(SHAPES) == NAMES
    assert data.SIZES == SIZES


@pytest.mark.parametrize("name", [*EMBEDDED, *real(*REAL)])
def test_shapes_types_and_classes(name, device):
    few, classes = Data(name, train=300, test=200), CLASSES.get(name, 10)
    loaded = load(few, device)
    assert (loaded.name, loaded.classes, loaded.shape) == (name, classes, SHAPES[name])
    assert few.outputs == classes
    assert loaded.features == np.prod(SHAPES[name])
    for split, n in ((loaded.train, 300), (loaded.test, 200)):
        assert split.x.shape == (n, *SHAPES[name]) and split.x.dtype == torch.float32
        assert split.y.shape == (n,) and split.y.dtype == torch.int64
        assert split.x.device.type == split.y.device.type == torch.device(device).type
        assert set(split.y.tolist()) <= set(range(classes))
        assert len(set(split.y.tolist())) > 0.6 * classes
        assert split.x.is_contiguous()


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets_are_whole_and_balanced(name):
    loaded = load(name)
    assert (len(loaded.train.y), len(loaded.test.y)) == SIZES[name]
    counts = torch.bincount(loaded.train.y)
    assert counts.min() > 0.9 * counts.float().mean()


@pytest.mark.parametrize("name", EMBEDDED)
def test_embedded_sets_can_be_learned(name):
    """The nearest class mean is right far more often than one time in ten."""
    loaded = load(name)
    x, x_test = loaded.train.x.flatten(1), loaded.test.x.flatten(1)
    means = torch.stack([x[loaded.train.y == k].mean(0) for k in range(10)])
    right = torch.cdist(x_test, means).argmin(1) == loaded.test.y
    assert 0.8 < right.float().mean() < 1


@pytest.mark.parametrize("name", EMBEDDED)
def test_no_sample_is_in_both_splits(name):
    loaded = load(name)
    distance = torch.cdist(loaded.test.x.flatten(1), loaded.train.x.flatten(1))
    assert distance.min() > 0


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_same_numbers_every_time(name):
    one = load(name)
    data._load.cache_clear()
    other = load(name)
    assert one is not other
    for a, b in ((one.train, other.train), (one.test, other.test)):
        assert torch.equal(a.x, b.x) and torch.equal(a.y, b.y)


def test_the_same_gaussian_on_every_machine():
    """Rounded, so that the last bit of a machine's logarithm does not matter."""
    loaded = load("gaussian")
    assert loaded.train.y[:8].tolist() == [3, 6, 9, 5, 8, 9, 1, 6]
    first = [0.82526, -0.65909, -0.27807, 0.12730]
    assert loaded.train.x[0, :4].tolist() == pytest.approx(first, abs=1e-4)


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("name", EMBEDDED)
def test_the_global_random_state_is_left_alone(name, scaling, untouched_random_state):
    load(Data(name, scaling, train=50, test=20))


def test_loading_twice_gives_the_same_object():
    assert load("digits") is load(Data("digits")) is load(Data("digits"), torch.device("cpu"))
    assert load("digits") is not load(Data("digits", train=10))


# Scaling and subsets


@pytest.mark.parametrize("name", EMBEDDED)
@settings(max_examples=10)
@given(train=st.integers(2, 1_437))
def test_standard_is_mean_0_and_sd_1_per_channel(name, train):
    x = load(Data(name, "standard", train=train)).train.x.double().transpose(0, 1).flatten(1)
    assert x.mean(1).abs().max() < 1e-5
    sd = x.std(1, correction=0)
    assert (sd - 1).abs().max() < 1e-5


def test_standard_scales_the_test_set_as_the_training_set():
    raw, standard = load(Data("digits", "raw")), load(Data("digits", "standard"))
    mean, sd = raw.train.x.mean(), raw.train.x.std(correction=0)
    assert torch.allclose(standard.test.x, (raw.test.x - mean) / sd, atol=1e-5)


def test_a_channel_without_variation_is_only_centred():
    one = load(Data("gaussian", "standard", train=1))
    assert (one.train.x == 0).all()
    assert torch.isfinite(one.test.x).all()


def test_units_of_digits():
    unit, raw = load("digits").train.x, load(Data("digits", "raw")).train.x
    assert (unit.min(), unit.max()) == (0, 1) and (raw.min(), raw.max()) == (0, 255)
    assert torch.equal(unit * 16, (unit * 16).round())  # sixteenths, exactly
    assert torch.equal(unit, raw / 255)


def test_gaussian_has_no_pixels_to_scale():
    assert torch.equal(load("gaussian").train.x, load(Data("gaussian", "raw")).train.x)


@settings(max_examples=20)
@given(small=st.integers(1, 360), large=st.integers(1, 360))
def test_a_small_subset_is_part_of_a_larger_one(small, large):
    small, large = sorted((small, large))
    a, b = (load(Data("digits", train=n, test=n)) for n in (small, large))
    assert torch.equal(a.train.x, b.train.x[:small]) and torch.equal(a.test.y, b.test.y[:small])


def test_a_subset_with_another_number_is_drawn_anew_and_tests_stay():
    a, b, again = (load(Data("digits", train=200, test=50, subset=k)) for k in (0, 7, 7))
    assert not torch.equal(a.train.x, b.train.x)
    assert torch.equal(a.test.x, b.test.x)
    assert torch.equal(b.train.x, again.train.x)
    assert not Data("mnist", train=100, test=10, subset=1).packaged
    assert key(Data("digits", train=200)) == key(Data("digits", train=200, subset=0))


def test_a_subset_of_full_size_is_the_whole_set_in_another_order():
    n, _ = SIZES["gaussian"]
    whole, shuffled = load("gaussian").train, load(Data("gaussian", train=n)).train
    assert not torch.equal(whole.x, shuffled.x)
    assert torch.equal(whole.x[:, 0].sort().values, shuffled.x[:, 0].sort().values)


# The spec


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (dict(name="imagenet"), ["'imagenet'", *NAMES]),
        (dict(name=None), ["name", "None"]),
        (dict(name="digits", scaling="minmax"), ["'minmax'", *SCALINGS]),
        (dict(name="digits", train=0), ["train", "0", "1,437", "digits"]),
        (dict(name="digits", train=1_438), ["train", "1438", "1,437"]),
        (dict(name="cifar10", test=10_001), ["test", "10001", "10,000", "cifar10"]),
        (dict(name="mnist", train=-5), ["train", "-5", "60,000"]),
        (dict(name="mnist", train=100.0), ["train", "100.0"]),
        (dict(name="mnist", test=True), ["test", "True"]),
    ],
)
def test_what_no_set_can_give_is_refused(fields, named):
    with pytest.raises(ValueError) as error:
        Data(**fields)
    assert all(text in str(error.value) for text in named)


def test_an_unknown_name_is_refused_by_load():
    with pytest.raises(ValueError, match="unknown data set 'imagenet'; known: digits"):
        load("imagenet")


def test_a_data_set_is_a_value():
    d = Data("mnist", train=1_000)
    assert canonical(d) == '{"name":"mnist","train":1000,"type":"Data"}'
    assert from_plain(to_plain(d)) == d and key(d) == key(Data("mnist", "unit", 1_000))
    assert d.label == "mnist"


# Where the files are


def test_root_is_the_environment_variable_or_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path))
    assert data.root() == tmp_path
    monkeypatch.setenv("INITLAB_DATA", "~/sets")
    assert data.root() == Path.home() / "sets"
    monkeypatch.setenv("INITLAB_DATA", "")
    unset = data.root()
    monkeypatch.delenv("INITLAB_DATA")
    assert data.root() == unset
    assert unset.is_absolute() and unset.name == "data"


# The real sets


PUBLISHED = {
    "mnist": ([0.1307], [0.3081], [5, 0, 4, 1, 9]),
    "fashion_mnist": ([0.2860], [0.3530], [9, 0, 0, 3, 0]),
    "cifar10": ([0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], [6, 9, 9, 4, 1]),
    "emnist": ([0.1736], [0.3317], [0, 55, 14, 6, 2]),
}


@pytest.mark.parametrize("name", real(*PUBLISHED))
def test_real_sets_are_the_published_ones(name, refused, untouched_random_state):
    mean, sd, labels = PUBLISHED[name]
    loaded = load(name)
    assert (len(loaded.train.y), len(loaded.test.y)) == SIZES[name]
    assert loaded.train.y[:5].tolist() == labels
    assert loaded.train.x.mean((0, 2, 3)).tolist() == pytest.approx(mean, abs=1e-4)
    assert loaded.train.x.std((0, 2, 3)).tolist() == pytest.approx(sd, abs=1e-4)
    assert not refused


@pytest.mark.parametrize("name", real(*(n for n in REAL if n != "emnist")))  # its order is ours
def test_raw_pixels_are_those_of_torchvision(name):
    raw = load(Data(name, "raw", train=1))
    pixels = stored.torchvision_class(name)(str(data.root()), train=False).data[3]
    x = raw.test.x[3].permute(1, 2, 0).numpy()
    assert (x == np.asarray(pixels).reshape(x.shape)).all()


# Files that are not right


def missing(folder: Path, file: str, size: int) -> None:
    pass


def header(file: str) -> bytes:
    return stored.idx_header(file) if file in (*stored.IDX, *stored.EMNIST) else b""


def truncated(folder: Path, file: str, size: int) -> None:
    (folder / file).write_bytes(header(file).ljust(size // 2, b"\0"))


def empty(folder: Path, file: str, size: int) -> None:
    (folder / file).write_bytes(b"")


def flipped(folder: Path, file: str, size: int) -> None:
    """The right size and header, and wrong content."""
    (folder / file).write_bytes(header(file).ljust(size, b"\1"))


def too_long(folder: Path, file: str, size: int) -> None:
    (folder / file).write_bytes(header(file).ljust(size + 1, b"\1"))


def page(folder: Path, file: str, size: int) -> None:
    """What a login page leaves behind when it answers in place of the file."""
    (folder / file).write_bytes(b"<html>Please log in</html>")


def folder_in_place(folder: Path, file: str, size: int) -> None:
    (folder / file).mkdir()


def dangling(folder: Path, file: str, size: int) -> None:
    (folder / file).symlink_to(folder / "nowhere")


SMALL = {
    "mnist": "train-labels-idx1-ubyte",
    "fashion_mnist": "t10k-labels-idx1-ubyte",
    "cifar10": "batches.meta",
    "cifar100": "meta",
    "emnist": "emnist-byclass-test-labels-idx1-ubyte",
}


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(
    ("damage", "says", "asks"),
    [
        (missing, "missing", True),
        (truncated, "is truncated", False),
        (empty, "is truncated (0 of", False),
        (flipped, "is corrupt (md5", False),
        (too_long, "is corrupt", False),
        (page, "<idx or short>", False),
        (folder_in_place, "is not a file", False),
        (dangling, "cannot be read", False),
    ],
)
def test_wrong_files_give_one_message_with_both_remedies(name, damage, says, asks, root, refused):
    relative, files = stored.FILES[name]
    folder, file = root / relative, SMALL[name]
    if damage is not missing:
        folder.mkdir(parents=True)
        damage(folder, file, files[file][0] or 1_000)
    before = tree(root)
    with pytest.raises(DataError) as error:
        load(name)
    message = str(error.value)
    if damage is page:
        says = "is truncated" if name == "cifar10" else "is not the idx file it should be"
    if name == "cifar100" and damage in (truncated, empty, page):  # its files' sizes are not known
        says = "is corrupt (md5"
    if damage is flipped and name == "emnist":  # no sum is known: the other file is asked for
        says, asks = "download failed", True
    for part in (name, str(folder), *([file] if says != "download failed" else []), says):
        assert part in message
    assert_both_remedies(message)
    assert bool(refused) == asks, "a download is tried for missing files, not over wrong ones"
    assert ("download failed" in message) == asks
    assert error.value.__context__ is None, "pages of what lies below"
    assert tree(root) == before, "nothing is left behind and nothing of the user's is touched"


def assert_both_remedies(message: str) -> None:
    """A net connection for torchvision, or the files put there or pointed to."""
    assert "net connection" in message and "torchvision downloads it" in message
    assert "put the files there yourself" in message and "INITLAB_DATA" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("raise ModuleNotFoundError('No module named torchvision')", "No module named torchvision"),
        ("raise RuntimeError('operator torchvision::nms does not exist')", "nms does not exist"),
    ],
    ids=["missing", "made for another torch"],
)
def test_without_torchvision_its_remedy_is_told(root, refused, monkeypatch, tmp_path, line, says):
    """Whatever else is missing: torchvision is what would fetch it."""
    for name in [n for n in sys.modules if n.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "torchvision.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    assert data.load("digits").features == 64
    with pytest.raises(DataError) as error:
        load("mnist")
    message = str(error.value)
    assert message.startswith("mnist is read by torchvision") and says in message
    version = torch.__version__.partition("+")[0]
    assert message.endswith(f"pip install torchvision torch=={version}")
    assert error.value.__suppress_context__ and not refused
    assert not list(root.iterdir())


def test_train_and_test_files_mixed_up(root):
    """Right magic number, another count."""
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    head = stored.idx_header("t10k-labels-idx1-ubyte")
    (folder / "train-labels-idx1-ubyte").write_bytes(head.ljust(60_008, b"\1"))
    with pytest.raises(DataError, match="train-labels-idx1-ubyte holds another number of samples"):
        load("mnist")


def test_a_root_that_is_a_file(tmp_path, monkeypatch, refused):
    (tmp_path / "data").write_text("mine")
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "data"))
    with pytest.raises(DataError) as error:
        load("mnist")
    assert_both_remedies(str(error.value))
    assert (tmp_path / "data").read_text() == "mine"


def test_a_root_that_does_not_exist_is_not_made_in_vain(tmp_path, monkeypatch):
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "a" / "b"))
    with pytest.raises(DataError, match="no net in this test"):
        load("cifar10")
    assert not (tmp_path / "a").exists()


# Downloading, with a MNIST of 30 + 20 images


@pytest.fixture
def tiny(tmp_path, monkeypatch) -> Path:
    """A folder with the four raw files of a very small MNIST, which the package takes for MNIST."""
    import torchvision.datasets as sets

    draws, there = np.random.default_rng(0), tmp_path / "server"
    there.mkdir()
    shapes = dict(zip(stored.IDX, ((30, 28, 28), (30,), (20, 28, 28), (20,)), strict=True))
    monkeypatch.setattr(stored, "IDX", {file: (shape, ("", "")) for file, shape in shapes.items()})
    files, packed = {}, []
    for file, shape in shapes.items():
        most = 256 if len(shape) == 3 else 10
        body = draws.integers(0, most, shape, dtype=np.uint8).tobytes()
        content = stored.idx_header(file) + body
        (there / file).write_bytes(content)
        (there / f"{file}.gz").write_bytes(gzip.compress(content, mtime=0))
        files[file] = (len(content), hashlib.md5(content).hexdigest())
        packed.append((f"{file}.gz", hashlib.md5((there / f"{file}.gz").read_bytes()).hexdigest()))
    monkeypatch.setitem(stored.FILES, "mnist", ("MNIST/raw", files))
    monkeypatch.setattr(sets.MNIST, "resources", packed)
    return there


@pytest.fixture
def served(tiny, monkeypatch) -> Path:
    """The same, with a net that brings its packed files."""
    import torchvision.datasets.mnist as mnist

    def fetch(url, download_root, filename, md5, **kwargs):
        Path(download_root).mkdir(parents=True, exist_ok=True)
        for file in (filename, filename.removesuffix(".gz")):
            shutil.copy(tiny / file, download_root)

    monkeypatch.setattr(mnist, "download_and_extract_archive", fetch)
    return tiny


def raw_files(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def test_a_download_ends_with_the_files_in_place(served, root):
    loaded = load("mnist")
    assert loaded.train.x.shape == (30, 1, 28, 28) and len(loaded.test.y) == 20
    assert raw_files(root / "MNIST/raw") == set(stored.IDX)


def test_a_download_completes_what_is_there_and_leaves_it_alone(served, root):
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    file = "train-images-idx3-ubyte"
    shutil.copy(served / file, folder)
    before = (folder / file).stat()
    load("mnist")
    assert raw_files(folder) == set(stored.IDX)
    assert (folder / file).stat().st_ino == before.st_ino
    assert (folder / file).stat().st_mtime_ns == before.st_mtime_ns


def test_a_download_that_brings_something_else_is_refused(served, root):
    (served / "t10k-labels-idx1-ubyte").write_bytes(b"<html>")
    with pytest.raises(DataError, match="what came is not mnist: t10k-labels-idx1-ubyte is not"):
        load("mnist")
    assert tree(root) == {}


def test_packed_files_are_unpacked_without_a_net(tiny, root, refused):
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    for packed in tiny.glob("*.gz"):
        shutil.copy(packed, folder)
    before = tree(folder)
    load("mnist")
    assert not refused
    assert {k: v for k, v in tree(folder).items() if k.endswith(".gz")} == before


def test_a_packed_file_that_is_truncated(tiny, root, refused):
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    for packed in tiny.glob("*.gz"):
        shutil.copy(packed, folder)
    packed = folder / "t10k-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:-100])
    before = tree(root)
    with pytest.raises(DataError) as error:
        load("mnist")
    assert "t10k-images-idx3-ubyte.gz is corrupt (md5" in str(error.value)
    assert_both_remedies(str(error.value))
    assert tree(root) == before


def test_what_an_old_torchvision_left_is_not_read_unchecked(tiny, root):
    folder = root / "MNIST/raw"
    shutil.copytree(tiny, folder)
    (root / "MNIST/processed").mkdir()
    fake = (torch.zeros(30, 28, 28, dtype=torch.uint8), torch.zeros(30, dtype=torch.int64))
    for file in ("training.pt", "test.pt"):
        torch.save(fake, root / "MNIST/processed" / file)
    assert load("mnist").train.x.max() > 0


def test_a_failed_load_is_tried_again(served, root, monkeypatch):
    folder = root / "MNIST/raw"
    folder.mkdir(parents=True)
    (folder / "train-labels-idx1-ubyte").write_bytes(b"")
    with pytest.raises(DataError):
        load("mnist")
    (folder / "train-labels-idx1-ubyte").unlink()
    assert len(load("mnist").train.y) == 30


def test_the_socket_timeout_is_put_back(root):
    before = socket.getdefaulttimeout()
    with pytest.raises(DataError):
        load("mnist")
    assert socket.getdefaulttimeout() == before


def test_a_killed_download_is_not_in_the_way(served, root):
    """SIGKILL leaves a hidden folder at most; the next load does not mind it."""
    script = (
        "import os, signal, torchvision.datasets.mnist as m\n"
        "from pathlib import Path\n"
        "def fetch(url, download_root, filename, md5):\n"
        "    Path(download_root, filename).write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "m.download_and_extract_archive = fetch\n"
        "import initlab.data as d; d.load('mnist')\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not raw_files(root / "MNIST/raw") & set(stored.IDX)
    assert len(load("mnist").train.y) == 30


# Choices of classes, sizes and gains


def test_a_choice_of_classes_is_renumbered_in_the_order_given():
    whole = load(Data("digits"))
    some = load(Data("digits", classes=(7, 2), train=100, test=20))
    assert (some.classes, Data("digits", classes=(7, 2), train=1, test=1).outputs) == (2, 2)
    pairs = whole.train.x, whole.train.y
    known = {tuple(x.flatten().tolist()): int(y) for x, y in zip(*pairs, strict=True)}
    found = [known[tuple(x.flatten().tolist())] for x in some.train.x]
    assert [(7, 2)[y] for y in some.train.y.tolist()] == found
    assert set(found) == {7, 2}


def test_a_smaller_choice_is_part_of_a_larger_one():
    few, more = (load(Data("digits", classes=(1, 3, 5), train=n, test=9)) for n in (50, 80))
    assert torch.equal(more.train.x[:50], few.train.x)


def test_side_averages_pixels():
    whole, small = load("digits"), load(Data("digits", side=4))
    assert small.shape == Data("digits", side=4).shape == (1, 4, 4)
    expected = whole.train.x.unflatten(2, (4, 2)).unflatten(4, (4, 2)).mean((3, 5))
    torch.testing.assert_close(small.train.x, expected)


def test_gain_is_a_factor_on_every_scaled_input():
    for scaling in SCALINGS:
        plain, loud = (load(Data("digits", scaling=scaling, gain=g)) for g in (1.0, 10.0))
        torch.testing.assert_close(loud.test.x, 10 * plain.test.x)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"classes": (1, 1)}, "two or more different whole numbers from 0 to 9"),
        ({"classes": (1, 10)}, "two or more different whole numbers from 0 to 9"),
        ({"classes": (1, 2)}, "train and test must be given"),
        ({"side": 9}, "a whole number of pixels from 1 to 8"),
        ({"gain": 0.0}, "gain must be a finite number > 0, not 0.0"),
        ({"subset": -1}, "subset must be a whole number from 0 to 4,294,967,295, not -1"),
        ({"val": 1}, "val must be a whole number of samples beside the first `train`"),
        ({"val": 300, "train": 1_300}, "within the 1,437 training samples"),
    ],
)
def test_choices_that_there_are_not(fields, says):
    with pytest.raises(ValueError, match=says):
        Data("digits", **fields)


def test_more_samples_than_the_classes_have():
    with pytest.raises(ValueError, match="1000 samples were asked for, but the chosen classes"):
        load(Data("digits", classes=(1, 2), train=1000, test=10))


@pytest.mark.parametrize("name", [*EMBEDDED, *real("fashion_mnist", "cifar10")])
def test_validation_samples_are_of_the_training_set_and_not_trained_on(name):
    plain = load(Data(name, train=300, test=90))
    tuned = load(Data(name, train=300, val=90, test=0))
    more = load(Data(name, train=390, test=90))
    assert plain.val is None and tuned.val is not None
    assert torch.equal(tuned.train.x, plain.train.x)
    assert torch.equal(tuned.val.x, more.train.x[300:])
    assert torch.equal(tuned.val.y, more.train.y[300:])
    assert len(tuned.test.x) == len(tuned.test.y) == 0


@pytest.mark.data("fashion_mnist")
def test_for_validation_the_test_set_is_not_even_read(monkeypatch):
    read = []
    pixels = data._pixels
    monkeypatch.setattr(
        data, "_pixels", lambda n, *, train: read.append(train) or pixels(n, train=train)
    )
    load(Data("fashion_mnist", train=5_000, val=31, test=0))
    assert read == [True]
    load(Data("fashion_mnist", train=5_000, test=31))
    assert read == [True, True, False]


def test_validation_of_some_classes():
    chosen = load(Data("digits", classes=(3, 5), train=200, val=50, test=0))
    assert chosen.val is not None and set(chosen.val.y.tolist()) == {0, 1}


def test_what_is_new_leaves_old_keys_as_they_are():
    assert canonical(Data("digits")) == '{"name":"digits","type":"Data"}'


# EMNIST, of which only the test split is used, and HASYv2, which lies where a user has put it


@pytest.mark.data("emnist")
def test_emnist_is_one_split_split_again():
    loaded = load("emnist")
    folder, files = stored.FILES["emnist"]
    images, labels = ((data.root() / folder / file).read_bytes() for file in files)
    there = np.frombuffer(labels, np.uint8)[8:]
    both = torch.cat([loaded.train.y, loaded.test.y])
    assert torch.bincount(both, minlength=62).tolist() == np.bincount(there).tolist()
    pixels = np.frombuffer(images, np.uint8)[16:].sum(dtype=np.int64)
    total = sum(float((split.x.double() * 255).sum()) for split in (loaded.train, loaded.test))
    assert total == pytest.approx(float(pixels), rel=1e-6)
    share = torch.bincount(loaded.test.y, minlength=62) / torch.bincount(both, minlength=62)
    assert share.mean() == pytest.approx(0.1, abs=0.02), "both parts hold every class"


@pytest.fixture
def hasy(root) -> Path:
    """A HASYv2 of 40 images of three symbols: image i is of grey level i."""
    from PIL import Image

    folder = root / "HASYv2"
    (folder / "hasy-data").mkdir(parents=True)
    lines = ["path,symbol_id,latex,user_id"]
    for i in range(40):
        Image.new("RGB", (32, 32), (i, i, i)).save(folder / f"hasy-data/v2-{i:05d}.png")
        lines.append(f"hasy-data/v2-{i:05d}.png,{(31, 1400, 88)[i % 3]},x,0")
    (folder / "hasy-data-labels.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_hasy_is_read_from_its_folder_and_split(hasy, refused):
    loaded = load(Data("hasy", "raw"))
    assert (loaded.classes, loaded.shape) == (369, (1, 32, 32))
    assert (len(loaded.train.y), len(loaded.test.y)) == (36, 4)
    for split in (loaded.train, loaded.test):
        level = split.x.flatten(1)
        assert (level == level[:, :1]).all()
        # Symbols are numbered by their ids: 31, 88, 1400.
        assert [(0, 2, 1)[int(i) % 3] for i in level[:, 0]] == split.y.tolist()
    levels = torch.cat([loaded.train.x, loaded.test.x])[:, 0, 0, 0]
    assert sorted(levels.tolist()) == list(range(40))
    assert stored.look("hasy").state == stored.COMPLETE
    assert not refused


def test_hasy_is_never_downloaded(root, refused):
    assert stored.look("hasy").state == stored.MISSING
    with pytest.raises(DataError) as error:
        load("hasy")
    for part in ("missing: hasy-data-labels.csv, hasy-data", "never downloaded", "INITLAB_DATA"):
        assert part in str(error.value)
    assert str(root / "HASYv2") in str(error.value) and not refused
    assert tree(root) == {}


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda f: shutil.rmtree(f / "hasy-data"), "missing: hasy-data. "),
        (lambda f: (f / "hasy-data-labels.csv").write_text("a,b\n1,2\n"), "cannot read"),
        (lambda f: (f / "hasy-data-labels.csv").write_text("path,symbol_id\n"), "names 0 symbols"),
        (lambda f: (f / "hasy-data/v2-00007.png").unlink(), "v2-00007.png, an image of hasy"),
        (
            lambda f: (f / "hasy-data/v2-00007.png").write_text("no"),
            "v2-00007.png, an image of hasy",
        ),
    ],
)
def test_a_hasy_that_is_not_whole(hasy, damage, says):
    damage(hasy)
    with pytest.raises(DataError, match=says):
        load("hasy")


def test_an_image_of_hasy_of_another_size(hasy):
    from PIL import Image

    Image.new("L", (8, 8)).save(hasy / "hasy-data/v2-00003.png")
    with pytest.raises(DataError, match=r"v2-00003.png has \(8, 8\) pixels, not \(32, 32\)"):
        load("hasy")


@pytest.fixture
def hundred(root, monkeypatch) -> Path:
    """A CIFAR-100 of 30 + 20 images, image i all of grey level i, which counts as the real one."""
    import pickle

    from torchvision.datasets import CIFAR100

    folder = root / "cifar-100-python"
    folder.mkdir()
    held = {}
    for name, n in {"train": 30, "test": 20, "meta": 0}.items():
        held[name] = {
            "data": np.repeat(np.arange(n, dtype=np.uint8)[:, None], 3_072, axis=1),
            "fine_labels": [99 - i for i in range(n)],
            "coarse_labels": [0] * n,
            "fine_label_names": [f"class {i}" for i in range(100)],
        }
        (folder / name).write_bytes(pickle.dumps(held[name]))
    md5s = {name: stored._md5(folder / name) for name in held}
    monkeypatch.setitem(
        stored.FILES, "cifar100", (folder.name, {name: (None, md5) for name, md5 in md5s.items()})
    )
    monkeypatch.setattr(CIFAR100, "train_list", [["train", md5s["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", md5s["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", CIFAR100.meta | {"md5": md5s["meta"]})
    return folder


def test_cifar100_has_the_fine_classes(hundred, refused):
    loaded = load(Data("cifar100", "raw"))
    assert (loaded.classes, loaded.shape) == (100, (3, 32, 32))
    assert (len(loaded.train.y), len(loaded.test.y)) == (30, 20)
    assert loaded.train.x[:, 2, 5, 7].tolist() == list(range(30))
    assert loaded.train.y.tolist() == [99 - i for i in range(30)]
    assert stored.look("cifar100").state == stored.COMPLETE and not refused


def test_sums_of_cifar100_are_those_of_torchvision():
    from torchvision.datasets import CIFAR100

    _, files = stored.FILES["cifar100"]
    known = dict([*CIFAR100.train_list, *CIFAR100.test_list])
    known[CIFAR100.meta["filename"]] = CIFAR100.meta["md5"]
    assert {name: md5 for name, (_, md5) in files.items()} == known


@pytest.fixture
def photographs(root) -> Path:
    """A Tiny ImageNet of three classes: 5 + 2 images of each, all pixels of one (R, G, B)."""
    from PIL import Image

    folder = root / "tiny-imagenet-200"
    names = ["n03", "n01", "n02"]
    (folder / "val/images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(names) + "\n")
    lines = []
    for c, name in enumerate(sorted(names)):
        (folder / "train" / name / "images").mkdir(parents=True)
        for i in range(5):
            image = Image.new("RGB", (64, 64), (50 * c, 20 * i, 7))
            image.save(folder / "train" / name / f"images/{name}_{i}.JPEG", format="png")
        for i in range(2):
            # A grey one among them, as in the real set.
            image = Image.new("L", (64, 64), 50 * c + i)
            image.save(folder / f"val/images/val_{2 * c + i}.JPEG", format="png")
            lines.append(f"val_{2 * c + i}.JPEG\t{name}\t0\t32\t44\t62")
    (folder / "val/val_annotations.txt").write_text("\n".join(reversed(lines)) + "\n")
    return folder


def test_tiny_imagenet_is_read_from_its_folder(photographs, refused):
    loaded = load(Data("tiny_imagenet", "raw"))
    assert (loaded.classes, loaded.shape) == (200, (3, 64, 64))
    assert loaded.train.y.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert loaded.train.x[:, :, 3, 60].tolist() == [
        [50 * c, 20 * i, 7] for c in range(3) for i in range(5)
    ]
    # In the order of the annotations, not of the folder.
    assert loaded.test.y.tolist() == [2, 2, 1, 1, 0, 0]
    assert loaded.test.x[:, :, 0, 0].tolist() == [
        [50 * c + i] * 3 for c in (2, 1, 0) for i in (1, 0)
    ]
    assert stored.look("tiny_imagenet").state == stored.COMPLETE and not refused


def test_validation_on_tiny_imagenet_does_not_read_what_it_is_tested_on(photographs):
    shutil.rmtree(photographs / "val/images")
    tuned = load(Data("tiny_imagenet", "raw", train=9, val=6, test=0))
    assert tuned.val is not None
    pixels = torch.cat([tuned.train.x, tuned.val.x])[:, :2, 0, 0].tolist()
    assert sorted(pixels) == [[50 * c, 20 * i] for c in range(3) for i in range(5)]


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (shutil.rmtree, "missing: wnids.txt, train, val. It is never downloaded: unpack tiny-"),
        (lambda f: (f / "wnids.txt").write_text(""), "names 0 classes, but Tiny ImageNet has 200"),
        (lambda f: shutil.rmtree(f / "train/n02"), "train has no image of class n02"),
        (lambda f: (f / "val/val_annotations.txt").unlink(), "cannot read .*val_annotations.txt"),
        (lambda f: (f / "val/images/val_3.JPEG").unlink(), "val_3.JPEG, an image of tiny_imagenet"),
        (
            lambda f: (f / "train/n01/images/n01_2.JPEG").write_text("no"),
            "cannot read .*n01_2.JPEG",
        ),
        (
            lambda f: (f / "val/val_annotations.txt").write_text("val_0.JPEG\tn09\n"),
            "val has class n09, which wnids.txt does not name",
        ),
    ],
)
def test_a_tiny_imagenet_that_is_not_whole(photographs, damage, says):
    damage(photographs)
    with pytest.raises(DataError, match=says):
        load("tiny_imagenet")


def test_validation_samples_are_a_third_set_beside_the_other_two():
    whole = load(Data("digits", "raw"))
    data_ = Data("digits", "raw", train=100, val=30, test=50)
    loaded = load(data_)
    more = load(Data("digits", "raw", train=130, test=50))
    assert loaded.val is not None and whole.val is None
    assert torch.equal(torch.cat([loaded.train.x, loaded.val.x]), more.train.x)
    assert torch.equal(torch.cat([loaded.train.y, loaded.val.y]), more.train.y)
    assert torch.equal(loaded.test.x, more.test.x)
    assert key(data_) != key(Data("digits", "raw", train=100, test=50))


@pytest.mark.parametrize(
    "wrong",
    [
        dict(val=10),
        dict(train=1_437, val=1),
        dict(train=100, val=-1),
    ],
)
def test_samples_that_cannot_be_held_back(wrong):
    with pytest.raises(ValueError, match=r"val must be a whole number .* 1,437 .* digits"):
        Data("digits", **wrong)
