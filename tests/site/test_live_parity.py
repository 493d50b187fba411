"""What a browser computes is what PyTorch computes: the page's worker beside a kernel."""

from __future__ import annotations

import pytest
from sections import BUILT, served

from initlab.live import network, steps
from initlab.live.answers import Kernel

pytestmark = pytest.mark.site

STEPS, LOSS, WEIGHT = 100, 1e-4, 1e-6
#: Rates at which the loss falls steadily, so that rounding is not amplified; see tests/live.
TAME = {"sgd": 0.02, "adam": 0.0005, "adamw": 0.0005}
ASK = """(base) => {
  const worker = new Worker(base + "worker.js", { type: "module" });
  window.ask = (message) => new Promise((yes, no) => {
    worker.onmessage = ({ data }) => (data.error ? no(new Error(data.error)) : yes(data.result));
    worker.onerror = (event) => no(new Error(event.message));
    worker.postMessage({ id: 1, client: 1, ...message });
  });
}"""
#: Typed arrays as lists.
TOLD = """async (message) => Object.fromEntries(Object.entries(await ask(message)).map(
  ([name, value]) => [name, ArrayBuffer.isView(value) ? Array.from(value) : value]))"""


@pytest.fixture(scope="module")
def ask(browser):
    """Asks the page's worker, as a page does."""
    if not (BUILT / "graphs" / "manifest.json").is_file():
        pytest.fail("the graphs are not built: run `make vendor graphs`")
    page = browser.new_page()
    with served(BUILT) as home:
        page.goto(f"{home}graphs/manifest.json")
        page.evaluate(ASK, home)
        yield lambda **message: page.evaluate(TOLD, message)
    page.close()


def config(optimizer: str, phi: str, norm: bool) -> dict:
    one = {"rule": "lecun_normal", "scale": 1.3, "seed": 3, "lr": TAME[optimizer], "noise": 0}
    other = {**one, "rule": "orthogonal", "scale": 1, "seed": 4, "noise": 0.3}
    return {
        "data": "digits", "depth": 4, "width": 16, "activation": phi, "norm": norm, "batch": 32,
        "optimizer": optimizer, "momentum": 0.9, "beta1": 0.9, "beta2": 0.999, "eps": 1e-6,
        "networks": [{**one, "weight_decay": 0}, {**other, "weight_decay": 0.01}],
    }  # fmt: skip


def apart(found, expected) -> float:
    return max(abs(a - b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("phi, norm", network.KINDS, ids=str)
@pytest.mark.parametrize("optimizer", steps.STATES)
def test_a_hundred_steps_in_a_browser_are_those_of_pytorch(ask, optimizer, phi, norm):
    kernel = Kernel()

    def both(**message) -> tuple[dict, dict]:
        return ask(**message), kernel({"id": 1, **message})["result"]

    both(command="start", config=config(optimizer, phi, norm))
    theirs, ours = both(command="displacement", layer=2, points=256)
    first = apart(theirs["first"], ours["first"])
    assert first <= WEIGHT
    theirs, ours = both(command="steps", count=STEPS)
    assert theirs["done"] == ours["done"] == STEPS
    loss = apart(theirs["loss"], ours["loss"])
    print(f"{optimizer} {phi}{' norm' * norm}: first weights {first:.1e}, loss {loss:.1e} apart")
    assert loss <= LOSS
    assert sum(ours["loss"][-8:]) < 0.9 * sum(ours["loss"][:8]), "nothing was learned"
    theirs, ours = both(command="evaluate", edges=[-1.0, 0.0, 1.0, 2.0])
    assert apart(theirs["loss"], ours["loss"]) <= LOSS
    assert apart(theirs["histogram"], ours["histogram"]) < 0.01


def test_every_rule_starts_in_a_browser_as_in_pytorch(ask):
    settings = config("sgd", "relu", False)
    kernel = Kernel()
    for rule in ask(command="about")["rules"]:
        networks = [{**n, "rule": rule, "scale": 1} for n in settings["networks"]]
        message = {"command": "start", "config": {**settings, "networks": networks}}
        ask(**message)
        assert "result" in kernel({"id": 1, **message})
        message = {"command": "displacement", "layer": 1, "points": 256}
        theirs, ours = ask(**message), kernel({"id": 1, **message})["result"]
        assert apart(theirs["first"], ours["first"]) <= WEIGHT, rule
