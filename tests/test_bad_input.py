"""Bad input gets one clear error: it names the value, what is allowed and what to do.

One table for the Python interface and one for the command line; a row is a call, the exception
or exit status, and what the message must say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from initlab import claims, data, files
from initlab.claims import publish
from initlab.cli import main
from initlab.data import Data, DataError, load
from initlab.init import (
    Constant,
    HeNormal,
    Normal,
    Orthogonal,
    VarianceScaling,
    fans,
    gain,
    initialize,
    rule,
)
from initlab.live import Live
from initlab.measure import Correlation, SecondMoments, Signal, meanfield, theory
from initlab.measure.coordinates import coordinate_check
from initlab.measure.inspection import inspect
from initlab.measure.layers import units
from initlab.models import MLP, ConvNet, ResidualMLP
from initlab.notebook import value
from initlab.parameters import ParameterError, Settings, read
from initlab.spec import from_plain, to_plain
from initlab.store import Store, StoreError
from initlab.sweep import Run, from_json, grid, groups, run
from initlab.train import SGD, Budget
from tests.test_notebook import tiny

NAN, INF = float("nan"), float("inf")
G = torch.Generator()
LINEAR = nn.Linear(2, 2)
PAIR = torch.ones(2, 2)
MODEL = MLP((3,))
LOOK = Run(MODEL, HeNormal(), measure=SecondMoments())
IMAGE = Run(
    MLP((3,), inputs=64), HeNormal(), data=Data("digits"), measure=SecondMoments(image=5000)
)
TRAIN = Run(MODEL, HeNormal(), data=Data("digits"), budget=Budget(epochs=1))
GIVEN = {"preset": "smoke", "device": "cpu", "seed": 0, "engine": "local", "recorded": True}


@dataclass(frozen=True, kw_only=True)
class Chapter(Settings):
    depths: tuple[int, ...] = (5,)


PRESETS = {"smoke": Chapter(preset="smoke")}


def injected(text: str) -> dict:
    """What a notebook's globals hold after papermill put a cell in."""
    return {**GIVEN, "In": ["", f"# Parameters\n{text}"]}


#: A call, its exception, and what the message must say.
PYTHON = {
    # data
    "a set": (lambda: Data("minst"), ValueError, "unknown data set 'minst'; known: digits, "),
    "a scaling": (lambda: Data("mnist", scaling="0-1"), ValueError, "'0-1'; known: unit, raw"),
    "no samples": (lambda: Data("digits", train=0), ValueError, "from 1 to 1,437 for digits"),
    "too many": (lambda: Data("digits", train=10**6), ValueError, "for all, not 1000000"),
    "half a sample": (lambda: Data("digits", test=2.5), ValueError, "test must be a whole number"),
    "to load": (lambda: load("minst"), ValueError, "unknown data set 'minst'; known: digits"),
    "loaded number": (lambda: load(7), ValueError, "name must be a text, not 7"),
    "loaded where": (lambda: load("digits", "abacus"), RuntimeError, "abacus"),
    "a set by its name": (
        lambda: Run(MODEL, HeNormal(), data="digits"),
        ValueError,
        "data must be Data(",
    ),
    "looked for": (lambda: files.look("minst"), ValueError, "'minst'; known: digits, gaussian"),
    # models
    "no widths": (lambda: MLP(()), ValueError, "one or more whole numbers ≥ 1, not ()"),
    "a width of 0": (lambda: MLP((10, 0)), ValueError, "whole numbers ≥ 1, not (10, 0)"),
    "a width of 9.5": (
        lambda: MLP((9.5,)),
        ValueError,
        "widths must be a tuple of values that are each a whole number, not (9.5,)",
    ),
    "one width": (lambda: MLP(10), ValueError, "widths must be a tuple of values"),
    "no inputs": (lambda: MLP((3,), inputs=0), ValueError, "inputs must be one or more whole"),
    "no outputs": (lambda: MLP((3,), outputs=0), ValueError, "outputs must be one or more whole"),
    "a scale's name": (
        lambda: ResidualMLP(2, 3, scales="a"),
        ValueError,
        "scales must be a finite",
    ),
    "a flat image": (lambda: ConvNet((3,), input_shape=(3, 32)), ValueError, "a tuple of 3 values"),
    "no depth": (lambda: MLP.constant(0, 5), ValueError, "depth must be ≥ 1, not 0"),
    "activation": (lambda: MLP((3,), activation="rely"), ValueError, "'rely'; known: linear, relu"),
    "no modules": (lambda: ResidualMLP(0, 5), ValueError, "whole numbers ≥ 1, not (0, 5)"),
    "scales": (lambda: ResidualMLP(2, 5, scales=(1.0,)), ValueError, "1 scales were given for 2"),
    "matrices": (lambda: ResidualMLP(2, 5, matrices=3), ValueError, "1 or 2 matrices, not 3"),
    "an even kernel": (lambda: ConvNet((3,), kernel=2), ValueError, "must be odd to keep the size"),
    "a padding": (lambda: ConvNet((3,), padding="same"), ValueError, "'circular', not 'same'"),
    "no channels": (lambda: ConvNet(()), ValueError, "channels must be one or more whole numbers"),
    # init
    "a rule's name": (lambda: rule("hee"), ValueError, "initializer 'hee'; known: he_normal, "),
    "a scale": (lambda: HeNormal(scale=-1), ValueError, "finite number ≥ 0, not -1"),
    "an endless scale": (
        lambda: HeNormal(scale=INF),
        ValueError,
        "scale must be a finite number, not inf",
    ),
    "a scale in words": (
        lambda: HeNormal(scale="2"),
        ValueError,
        "scale must be a finite number, not '2'",
    ),
    "a mode": (lambda: VarianceScaling(mode="fan"), ValueError, "'fan'; known: fan_in, fan_out"),
    "a law": (lambda: VarianceScaling(distribution="x"), ValueError, "'x'; known: normal, uniform"),
    "a deviation": (lambda: Normal(std=-0.1), ValueError, "std must be a finite number ≥ 0, not"),
    "no constant": (lambda: Constant(value=NAN), ValueError, "value must be a finite number, not"),
    "a gain": (lambda: Orthogonal(gain=NAN), ValueError, "gain must be a finite number, not nan"),
    "a vector": (
        lambda: Orthogonal()(fans(LINEAR), (3,), G),
        ValueError,
        "needs two or more dimensions, not (3,)",
    ),
    "no fans": (lambda: fans(nn.ReLU()), TypeError, "ReLU has no fans; known: Linear, Conv1d"),
    "a gain's name": (lambda: gain("rely"), ValueError, "unknown activation 'rely'; known: linear"),
    "a rule by name": (
        lambda: initialize(LINEAR, "he_normal", G),
        TypeError,
        "rule must be a rule such as HeNormal(), not 'he_normal'; rule('he_normal') looks",
    ),
    "a bare seed": (
        lambda: initialize(LINEAR, HeNormal(), 0),
        TypeError,
        "generator must be a torch.Generator, not 0; torch.Generator().manual_seed(seed)",
    ),
    "a bias": (lambda: initialize(LINEAR, HeNormal(), G, bias=0), TypeError, "bias must be a rule"),
    "a spec": (lambda: initialize(MODEL, HeNormal(), G), TypeError, "build() makes one of a model"),
    "a count": (lambda: initialize(LINEAR, HeNormal(), G, count=0), ValueError, "≥ 1, or None for"),
    "no weights": (lambda: initialize(nn.ReLU(), HeNormal(), G), ValueError, "no linear layer and"),
    # measure
    "layers": (lambda: SecondMoments(layers="first"), ValueError, "'last' or 'all', not 'first'"),
    "an image": (
        lambda: SecondMoments(image=-1),
        ValueError,
        "0 or larger, or None for random inputs",
    ),
    "signal layers": (lambda: Signal(layers="first"), ValueError, "'all', not 'first'"),
    "signal's image": (lambda: Signal(image=0.5), ValueError, "must be a whole number or None"),
    "no examples": (lambda: Signal(examples=0), ValueError, "examples must be a whole number ≥ 1"),
    "a cosine": (lambda: Correlation(2.0), ValueError, "a cosine, from -1 to 1, not 2.0"),
    "a cosine's layers": (lambda: Correlation(layers=3), ValueError, "must be a text, not 3"),
    "phi": (lambda: meanfield.chi_1("rely", 1.0), ValueError, "'rely'; known: linear, relu"),
    "a sigma": (lambda: meanfield.q_star("relu", -1), ValueError, "a finite number ≥ 0, not -1"),
    "a q": (lambda: meanfield.mean_square("relu", -1), ValueError, "a variance, ≥ 0, not -1"),
    "a c": (lambda: meanfield.c_star("relu", INF), ValueError, "sigma_w must be a standard dev"),
    "no edge": (lambda: meanfield.edge_of_chaos(torch.zeros_like), ValueError, "no edge of chaos"),
    "inspected parts": (
        lambda: inspect(LINEAR, HeNormal(), (PAIR, PAIR), parts=["hesian"]),
        ValueError,
        "unknown part hesian; known: layers, units, jacobian",
    ),
    "inspected batch": (
        lambda: inspect(LINEAR, HeNormal(), PAIR),
        ValueError,
        "batch must be a pair of tensors (inputs, targets), not Tensor",
    ),
    "inspected copies": (
        lambda: inspect(LINEAR, None, (PAIR, PAIR), networks=3),
        ValueError,
        "and 1 where no rule draws them, not 3",
    ),
    "no inputs for units": (
        lambda: units(LINEAR, {}, PAIR[:0]),
        ValueError,
        "on one or more inputs",
    ),
    "a checked optimizer": (
        lambda: coordinate_check(
            lambda w: LINEAR, HeNormal(), [2], (PAIR, PAIR), rate=0.1, optimizer="lion"
        ),
        ValueError,
        "unknown optimizer 'lion'; known: sgd, adam",
    ),
    "a depth": (lambda: theory.mean_second_moment(0), ValueError, "whole number ≥ 1, not 0"),
    "an s": (
        lambda: theory.mean_second_moment(3, s=-1),
        ValueError,
        "for each of 3 layers, not -1",
    ),
    "a variance": (lambda: theory.growth_per_layer(0, 1), ValueError, "must be > 0, not 0 and 1"),
    "a bound": (lambda: theory.truncation_factor(0), ValueError, "bound must be > 0, not 0"),
    "two widths": (lambda: theory.ratio_variance([1, 2]), ValueError, "one layer, not [1, 2]"),
    "widths": (lambda: theory.second_moment([]), ValueError, "whole numbers ≥ 1, not []"),
    "a mean": (
        lambda: theory.residual_mean_second_moment(1, 2),
        ValueError,
        "mean_x = 2.0 with M = 1.0",
    ),
    # train and sweep
    "a rate": (lambda: SGD(lr=0), ValueError, "lr must be > 0, not 0"),
    "no rate": (lambda: SGD(lr=NAN), ValueError, "lr must be a finite number, not nan"),
    "no epochs": (lambda: Budget(epochs=0), ValueError, "epochs must be ≥ 1, not 0"),
    "no batch": (lambda: Budget(batch_size=0), ValueError, "batch_size must be ≥ 1, not 0"),
    "a per cent": (
        lambda: Budget(target_test_accuracy=90),
        ValueError,
        "accuracy in (0, 1], not 90",
    ),
    "a resolution": (lambda: Budget(resolution=0), ValueError, "resolution must be > 0, not 0"),
    "an idle run": (lambda: Run(MODEL, HeNormal()), ValueError, "either a budget (it trains) or a"),
    "without data": (
        lambda: Run(MODEL, HeNormal(), budget=Budget()),
        ValueError,
        "a run that trains needs data",
    ),
    "no image": (
        lambda: Run(MODEL, HeNormal(), data=Data("mnist"), measure=SecondMoments()),
        ValueError,
        "on an image of data, or without data",
    ),
    "networks": (
        lambda: Run(MODEL, HeNormal(), measure=SecondMoments(), networks=0),
        ValueError,
        "networks must be ≥ 1, not 0",
    ),
    "an axis": (lambda: grid(LOOK, sed=[1]), ValueError, "no field 'sed'; it has model, data"),
    "an engine": (lambda: run([LOOK], engine="rya"), ValueError, "engine 'rya'; known: local"),
    "far image": (lambda: run([IMAGE], recorded=False), ValueError, "image 5000 is not among the"),
    "wrong inputs": (lambda: run([TRAIN], recorded=False), ValueError, "but the model takes (784,"),
    # spec and store
    "a type": (lambda: from_plain({"type": "X"}), ValueError, "unknown spec 'X'; this version"),
    "no type": (lambda: from_plain({}), ValueError, "unknown spec None; this version knows"),
    "a field": (
        lambda: from_plain({"type": "HeNormal", "sclae": 2}),
        ValueError,
        "HeNormal has no field sclae; it has scale, mode",
    ),
    "a set as value": (lambda: to_plain({1}), TypeError, "plain values and other specs, not set"),
    "a store in a file": (
        lambda: Store("file/store").add([("k", "{}", 0.0, [(0, 1, -1, "second_moment", 1.0)])]),
        StoreError,
        "choose another folder with INITLAB_STORE",
    ),
    # claims
    "no sample": (lambda: claims.mean([]), ValueError, "not of shape (0,)"),
    "a table": (lambda: claims.mean([[1.0]]), ValueError, "one number per replicate"),
    "no pairs": (lambda: claims.paired([1, 2], [1]), ValueError, "not 2 and 1"),
    "a ratio": (lambda: claims.ratio([-1, 0], [1, 2]), ValueError, "positive means, not -0.5"),
    "a share of nothing": (lambda: claims.share([]), ValueError, "one value or more, not 0"),
    "a horizon": (lambda: claims.restricted_mean([1.0], -1), ValueError, "time > 0, not -1"),
    "no replicates": (lambda: claims.bca(max), ValueError, "one replicate or more, not []"),
    "a study": (lambda: claims.study("s"), claims.RegistryError, "unknown study 's'; known: "),
    "no registry": (
        lambda: claims.registry.parse("study = 3", "s"),
        claims.RegistryError,
        "s.toml: title must be given",
    ),
    "smoke": (lambda: publish([{"preset": "smoke"}]), ValueError, "of the laptop preset are"),
    # parameters
    "chapter": (lambda: read({}, PRESETS), ParameterError, "has no preset, device, seed, engine"),
    "its preset": (lambda: read({**GIVEN, "preset": "huge"}, PRESETS), ParameterError, "'huge'"),
    "its engine": (
        lambda: read({**GIVEN, "engine": "x"}, PRESETS),
        ParameterError,
        "choose one of local, ray",
    ),
    "its device": (
        lambda: read({**GIVEN, "device": "abacus"}, PRESETS),
        ParameterError,
        "device 'abacus' cannot be used here",
    ),
    "its name": (
        lambda: read(injected("depht = 5"), PRESETS),
        ParameterError,
        "unknown parameter depht; this notebook takes depths, device",
    ),
    "a value": (lambda: value("[1, 2"), ParameterError, "'[1, 2' is no value of a parameter; give"),
    "a date": (lambda: value("2020-01-01"), ParameterError, "give a number, a text, true, false"),
    # runs
    "a model's name": (lambda: Run("mlp", HeNormal()), ValueError, "model must be MLP(…) or Logis"),
    "an initializer's name": (lambda: Run(MODEL, "he"), ValueError, "init must be Rule("),
    "a seed's name": (lambda: grid(TRAIN, seed=["a"]), ValueError, "seed must be a whole number"),
    "an axis of one": (
        lambda: grid(TRAIN, seed=3),
        ValueError,
        "axis seed must be a list of values",
    ),
    "one run": (lambda: run(TRAIN), ValueError, "a list of runs was expected, such as grid("),
    "no runs": (lambda: run([]), ValueError, "there are no runs: the list is empty"),
    "other than runs": (
        lambda: run([3]),
        ValueError,
        "a list of runs was expected; 3 in it is none",
    ),
    "a device": (
        lambda: run([LOOK], device="abacus"),
        ValueError,
        "no device 'abacus'; it has cpu",
    ),
    "half a worker": (lambda: run([LOOK], workers=1.5), ValueError, "a whole number ≥ 1, not 1.5"),
    "no memory": (
        lambda: groups([TRAIN], -1),
        ValueError,
        "memory is a number of bytes > 0, not -1",
    ),
    "no run in JSON": (
        lambda: from_json("nonsense"),
        ValueError,
        "a run in JSON was expected, not",
    ),
    "another value in JSON": (
        lambda: from_json("[1]"),
        ValueError,
        "a run was expected, not '[1]'",
    ),
    "half an epoch": (
        lambda: Budget(epochs=1.5),
        ValueError,
        "epochs must be a whole number, not 1",
    ),
    "an endless rate": (lambda: SGD(lr=INF), ValueError, "lr must be a finite number, not inf"),
    "a rate's name": (lambda: SGD(lr="a"), ValueError, "lr must be a finite number, not 'a'"),
    "a store by number": (lambda: Store(3), ValueError, "needs the name of a folder, not 3"),
    "a text for keys": (lambda: Store("x").frame("abc"), ValueError, "a list of keys was expected"),
    # live
    "a section": (lambda: Live("end"), ValueError, "unknown section 'end'; known: start, scale"),
    "a setting": (
        lambda: Live("start", depht=3),
        ValueError,
        "start has no setting 'depht'; known:",
    ),
    "a wrong kind": (
        lambda: Live("start", depth="3"),
        ValueError,
        "depth must be a number, such as",
    ),
    "no figure": (
        lambda: Live("start", figure=3),
        TypeError,
        "must be markup, an Axes, a Figure or",
    ),
}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    """An empty folder with a notebook, a damaged one and a file; no data, no store, no net."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INITLAB_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "data"))
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "text.ipynb").write_text("hello")
    (tmp_path / "list.ipynb").write_text("[1]")
    tiny(tmp_path)
    return tmp_path


@pytest.mark.parametrize("row", PYTHON)
def test_python(row):
    call, kind, says = PYTHON[row]
    with pytest.raises(kind) as error:
        call()
    assert type(error.value) is kind
    assert says in str(error.value)
    assert "\n" not in str(error.value).strip()


def test_a_set_that_cannot_be_had(place, monkeypatch):
    def no_net(*arguments, **options):
        raise OSError("no net here")

    monkeypatch.setattr(files, "_download", no_net)
    data._load.cache_clear()
    with pytest.raises(DataError, match=r"cannot load mnist .*no net here.*INITLAB_DATA"):
        load("mnist")
    assert main(["data", "fetch", "mnist"]) == 1


USER, USAGE = 1, 2
CHAPTER = Path(__file__).parent.parent / "notebooks" / "01-how-to-start-training.ipynb"
#: A command line, its exit status, and what stderr must say.
COMMAND_LINE = [
    ("clams", USAGE, "No such command 'clams'. Did you mean 'claims'?"),
    ("--jsn", USAGE, "No such option '--jsn'"),
    ("claims --jsno", USAGE, "No such option '--jsno'. Did you mean '--json'?"),
    ("claims extra", USAGE, "Got unexpected extra argument (extra)"),
    ("verify --sample few", USAGE, "'few' is not a valid integer range"),
    ("verify --sample 0", USAGE, "0 is not in the range x>=1"),
    ("verify --seconds -1", USAGE, "-1.0 is not in the range x>=0"),
    ("verify --seed x", USAGE, "'x' is not a valid integer"),
    ("verify --seconds 0", USER, "nothing was verified; allow more --seconds"),
    ("record", USAGE, "Missing argument 'NAME'"),
    ("record ../x", USER, "'../x' is no study's name; give a plain one"),
    ("record x --store nowhere", USER, "the store nowhere holds no results; run a chapter"),
    ("publish none.ipynb", USER, "there is no notebook none.ipynb; give the path"),
    ("publish text.ipynb", USER, "text.ipynb cannot be read as a notebook"),
    ("publish tiny.ipynb", USER, "not none; run tiny.ipynb with -p preset laptop first"),
    ("run", USAGE, "Missing argument 'NOTEBOOK'"),
    ("run none.ipynb", USER, "there is no notebook none.ipynb"),
    ("run file", USER, "file cannot be read as a notebook"),
    ("run list.ipynb", USER, "list.ipynb is no notebook of format 4; open it in JupyterLab"),
    ("run tiny.ipynb tiny.ipynb", USER, "tiny.ipynb is the notebook itself; choose another file"),
    ("run tiny.ipynb out", USER, "the executed copy is a file *.ipynb, not out"),
    ("run tiny.ipynb -p sede 1", USER, "unknown parameter sede; this notebook takes device, "),
    ("run tiny.ipynb -p preset huge", USER, "'huge'; choose one of smoke, laptop, paper"),
    ("run tiny.ipynb -p seed 1e30", USER, "seed must be a whole number from 0 to 4,294,967,295"),
    (f"run {CHAPTER} -p recorded not_sure", USER, "recorded must be true or false, not 'not_sure'"),
    (f"run {CHAPTER} -p dataset nosuch", USER, "unknown dataset 'nosuch'; choose one of digits, "),
    (f"run {CHAPTER} -p depths []", USER, "depths must be a list of one or more whole numbers"),
    (f"run {CHAPTER} -p depths 5", USER, "such as [5, 10], not 5"),
    (f"run {CHAPTER} -p engine slurm", USER, "unknown engine 'slurm'; choose one of local, ray"),
    (f"run {CHAPTER} -p seed 99999999999", USER, "from 0 to 4,294,967,295, not 99999999999"),
    (f"batch {CHAPTER} --grid networks=1,0 --out o", USER, "networks must be a whole number ≥ 1"),
    (f"batch {CHAPTER} --grid seed=1,a --out o", USER, "from 0 to 4,294,967,295, not 'a'"),
    ("run tiny.ipynb -p seed [1", USER, "'[1' is no value of a parameter; give a number"),
    ("run tiny.ipynb -p seed", USAGE, "Option '-p' requires 2 arguments"),
    ("run tiny.ipynb --timeout 0", USAGE, "0 is not in the range x>=1"),
    ("batch tiny.ipynb --out o", USAGE, "Missing option '--grid'"),
    ("batch tiny.ipynb --grid seed=1", USAGE, "Missing option '--out'"),
    ("batch none.ipynb --grid seed=1 --out o", USER, "there is no notebook none.ipynb"),
    ("batch tiny.ipynb --grid seed --out o", USER, "NAME=a,b,c, such as seed=1,2,3, not 'seed'"),
    ("batch tiny.ipynb --grid seed= --out o", USER, "such as seed=1,2,3, not 'seed='"),
    ("batch tiny.ipynb --grid seed=1,1 --out o", USER, "the grid's seed has 1 twice; give it once"),
    ("batch tiny.ipynb --grid seed=1 --grid seed=2 --out o", USER, "--grid names seed twice; give"),
    ("batch tiny.ipynb --grid sede=1 --out o", USER, "unknown parameter sede; this notebook takes"),
    ("batch tiny.ipynb --grid preset=x,y --out o", USER, "unknown preset 'x'; choose one of smoke"),
    ("batch tiny.ipynb --grid seed=1 -p seed 2 --out o", USER, "seed is given both by --grid and"),
    ("batch tiny.ipynb --grid seed=1 --out file", USER, "cannot write file/index.html"),
    ("batch tiny.ipynb --grid seed=1 --out o --engine rya", USAGE, "is not one of 'local', 'ray'"),
    ("batch tiny.ipynb --grid seed=1 --out o --workers 0", USAGE, "0 is not in the range x>=1"),
    ("data", USAGE, "Commands:"),
    ("data lst", USAGE, "No such command 'lst'."),
    ("data fetch", USAGE, "Missing argument 'NAME...'"),
    ("data fetch minst", USAGE, "'minst' is not one of 'digits', 'gaussian', 'mnist'"),
    ("data check mnist", USER, "not whole: mnist (missing); move damaged files away, then: python"),
    ("store list", USER, "name another folder with --folder or INITLAB_STORE"),
    (
        "store list --folder file",
        USER,
        "cannot read the store file: Not a directory. Choose another folder",
    ),
    ("store filter seed=1", USER, "there are no results in "),
    ("store compact --folder nowhere", USER, "there are no results in nowhere"),
    ("store export x.csv", USER, "results are exported as a file *.parquet, not x.csv"),
    ("store export x.parquet", USER, "there are no results in "),
    ("doctor --jason", USAGE, "No such option '--jason'"),
]


@pytest.mark.parametrize(("line", "status", "says"), COMMAND_LINE, ids=[r[0] for r in COMMAND_LINE])
def test_command_line(line, status, says, place, capfd):
    before = sorted(p.name for p in place.rglob("*"))
    assert main(line.split()) == status
    shown = capfd.readouterr()
    assert says in shown.err
    assert "Traceback" not in shown.err
    ours = [text for text in shown.err.splitlines() if text.startswith("initlab: ")]
    assert len(ours) == (status == USER)
    told = shown.err.startswith(("Usage: python -m initlab", "Error: "))  # click's own forms
    assert told == (status == USAGE)
    if status == USER:
        assert shown.err.splitlines() == ours
    assert sorted(p.name for p in place.rglob("*")) == before, "a mistake leaves nothing behind"


def test_fields_of_a_store_are_checked(place, capsys):
    store = Store()
    store.add([("k", json.dumps({"seed": 1}), 0.0, [(0, 1, -1, "second_moment", 1.0)])])
    assert main(["store", "filter", "seed"]) == 1
    assert "give FIELD=VALUE, such as model.type=MLP, not 'seed'" in capsys.readouterr().err
