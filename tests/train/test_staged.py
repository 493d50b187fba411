"""Training in stages equals an ordinary loop with `reinitialize`, alone and in any group."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from initlab.data import Data, DataSet, load
from initlab.init import HeNormal, Normal, initialize
from initlab.models import MLP, ConvNet, DenseNet
from initlab.noise import LabelNoise
from initlab.reinit import (
    Full,
    Head,
    LaterLayers,
    LayerWise,
    ShrinkPerturb,
    Stages,
    norms,
    reinitialize,
)
from initlab.train import (
    SGD,
    Adam,
    Budget,
    Cosine,
    CrossEntropy,
    Curves,
    StepDecay,
    accuracy,
    check_stages,
    fit,
)
from initlab.train.loss import DistillationLoss
from initlab.train.training import Training
from tests.train.test_exact import assert_same

LR = 0.01
SAMPLES, BATCH, EPOCHS = 200, 40, 4  # 20 steps
MODELS = {
    "mlp": MLP((12, 9), inputs=64, activation="tanh"),
    "batch norm": MLP((12, 9), inputs=64, activation="tanh", norm="batch"),
    "conv": ConvNet((3, 4), input_shape=(1, 8, 8), outputs=10, activation="tanh"),
    # Without kinks and maxima: where rounding crosses one, the difference grows from there.
    "densenet": DenseNet(7, 4, input_shape=(1, 8, 8), activation="tanh"),
}
BIAS = Normal(0.05)


def data() -> DataSet:
    return load(Data("digits", train=SAMPLES, test=100))


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def starts(model, count: int) -> dict[str, torch.Tensor]:
    return initialize(model.build("meta"), HeNormal(), seeded(3), bias=BIAS, count=count)


def train(model, params, stages, optimizer=None, networks=None, **more):
    """`fit`, with a θ′ for each network, by its number in `networks`, and stage.

    Where there are stages, their ends are looked at.
    """
    more.setdefault("curves", None if stages is None else Curves(("test_accuracy",), 9.0))
    R, plans = len(next(iter(params.values()))), stages if isinstance(stages, list) else [stages]
    module, networks = model.build("meta"), networks or range(len(next(iter(params.values()))))

    def fresh(r, stage):
        plan = plans[r % len(plans)]
        return plan.method.draw(module, HeNormal(), seeded(100 * networks[r] + stage), bias=BIAS)

    budget = more.pop("budget", Budget(epochs=EPOCHS, batch_size=BATCH))
    order = more.pop("order", [seeded(5)] * R)
    return fit(
        model,
        params,
        data(),
        optimizer=optimizer or SGD(LR, momentum=0.9),
        budget=budget,
        order=order,
        stages=stages,
        fresh=fresh,
        **more,
    )


def by_torch(model, start, stages, epochs=EPOCHS, network=0, smoothing=0.0):
    """An ordinary loop with momentum and a cosine: the module after it, and of every stage the
    probabilities on the test set.
    """
    module, here, order = model.build(), data(), seeded(5)
    module.load_state_dict(start, strict=False)
    began = norms(module)
    optimizer = torch.optim.SGD(module.parameters(), LR, momentum=0.9)
    x, test = (s.x.reshape(-1, *model.input_shape) for s in (here.train, here.test))
    teacher, seen = None, []
    for stage, length in enumerate(stages.lengths(epochs)):
        if stage:
            teacher = copy.deepcopy(module).eval()
            reinitialize(
                module,
                stages.method,
                HeNormal(),
                seeded(100 * network + stage),
                stage=stage,
                stages=stages.count,
                start_norms=began,
                optimizer=optimizer if stages.optimizer == "fresh" else None,
                buffers=stages.buffers,
                bias=BIAS,
            )
        steps = length * SAMPLES // BATCH
        for epoch in range(length):
            for i, chosen in enumerate(torch.randperm(SAMPLES, generator=order).split(BATCH)):
                step = epoch * SAMPLES // BATCH + i
                optimizer.param_groups[0]["lr"] = LR * Cosine().factor(step, steps, 1)
                logits = module.train()(x[chosen])
                loss = F.cross_entropy(logits, here.train.y[chosen], label_smoothing=smoothing)
                if teacher is not None and stages.teacher is not None:
                    with torch.no_grad():
                        probabilities = teacher(x[chosen]).softmax(-1)
                    taught = -(probabilities * logits.log_softmax(-1)).sum(-1).mean()
                    loss = taught + (stages.labels * loss if stages.teacher != "alone" else 0)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with torch.no_grad():
            seen.append(module.eval()(test).softmax(-1))
    return module, seen


def looks(outcome, name: str) -> dict[int, float]:
    return {step: value for step, found, value in outcome.curves if found == name}


def row(params: dict, r: int) -> dict:
    return {k: v[r : r + 1] for k, v in params.items()}


CASES = {
    "shrink and perturb": Stages(ShrinkPerturb(), 3),
    "with noise": Stages(ShrinkPerturb(0.6, 0.0, 0.01), 2),
    "all kept": Stages(ShrinkPerturb(), 2, optimizer="kept", buffers="kept"),
    "layer-wise": Stages(LayerWise(), 4),
    "later layers": Stages(LaterLayers(1), 2),
    "head": Stages(Head(), 2),
    "born again": Stages(Full(), 3, teacher="alone"),
    "born again with labels": Stages(Full(), 3, teacher="with labels", labels=0.5),
    "each in full": Stages(Full(), 2, teacher="alone", total="each"),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("kind", ["mlp", "conv", "densenet"])
def test_a_group_in_stages_is_as_many_loops(kind, name):
    model, stages = MODELS[kind], CASES[name]
    params = starts(model, 2)
    ended = train(model, params, stages, schedule=Cosine())
    for r, outcome in enumerate(ended):
        module, seen = by_torch(model, {k: v[r] for k, v in params.items()}, stages, network=r)
        assert_same(outcome.params, module.state_dict(), 2e-4)
        ends = sorted(looks(outcome, "stage_test_accuracy"))
        y = data().test.y
        for step, probabilities in zip(ends, seen, strict=True):
            right = float((probabilities.argmax(-1) == y).float().mean())
            assert looks(outcome, "stage_test_accuracy")[step] == pytest.approx(right, abs=0.011)
        together = looks(outcome, "ensemble_accuracy")
        assert sorted(together) == (ends[1:] if stages.teacher else [])
        for i, step in enumerate(together):
            mean = torch.stack(seen[1 : i + 2]).mean(0)
            right = float((mean.argmax(-1) == y).float().mean())
            assert together[step] == pytest.approx(right, abs=0.011)


@pytest.mark.parametrize("stages", CASES.values(), ids=CASES)
def test_all_methods_cost_the_same_steps(stages):
    model = MODELS["mlp"]
    [standard] = fit(
        model,
        starts(model, 1),
        data(),
        optimizer=SGD(0.05),
        budget=Budget(epochs=EPOCHS, batch_size=BATCH),
        order=seeded(5),
    )
    [outcome] = train(model, starts(model, 1), stages)
    times = 2 if stages.total == "each" else 1
    assert outcome.steps == times * standard.steps == times * 20
    assert outcome.epochs == times * standard.epochs
    steps = sorted(looks(outcome, "stage_train_accuracy"))
    assert len(steps) == stages.count and steps[-1] == outcome.steps
    assert all(step % (SAMPLES // BATCH) == 0 for step in steps)
    lengths_ = stages.lengths(EPOCHS)
    assert max(lengths_) - min(lengths_) <= 1


def test_one_stage_is_standard_training_to_the_bit():
    model = MODELS["densenet"]
    given = {
        "optimizer": SGD(LR, momentum=0.9),
        "budget": Budget(epochs=2, batch_size=BATCH),
        "order": seeded(5),
        "schedule": StepDecay(),
    }
    [plain] = fit(model, starts(model, 1), data(), **given)
    for stages in (Stages(LayerWise(), 1), Stages(Full(), 1, teacher="alone")):
        [outcome] = train(model, starts(model, 1), stages, **given)
        assert all(torch.equal(plain.params[n], outcome.params[n]) for n in plain.params)
        assert outcome.test_accuracy == plain.test_accuracy


def test_keeping_everything_changes_nothing_but_what_is_asked():
    """Nothing is forgotten and the schedule runs on: the stages cannot be told."""
    model = MODELS["densenet"]
    nothing = Stages(ShrinkPerturb(1.0, 0.0), 4, "kept", "kept", "whole")
    given = {"optimizer": Adam(0.01), "schedule": Cosine(), "order": seeded(5)}
    budget = Budget(epochs=EPOCHS, batch_size=BATCH)
    [plain] = fit(model, starts(model, 1), data(), budget=budget, **given)
    [same] = train(model, starts(model, 1), nothing, **given)
    assert all(torch.equal(plain.params[n], same.params[n]) for n in plain.params)
    for other in ({"optimizer": "fresh"}, {"buffers": "fresh"}, {"schedule": "restart"}):
        [changed] = train(model, starts(model, 1), replace(nothing, **other), **given)
        different = {n for n in plain.params if not torch.equal(plain.params[n], changed.params[n])}
        only_buffers = all("running" in n for n in different)
        assert different and only_buffers == ("buffers" in other), other


@pytest.mark.parametrize("kind", MODELS)
def test_alone_and_in_a_group_of_several_methods(kind):
    model = MODELS[kind]
    plans = [
        Stages(method, 2, teacher="with labels")
        for method in (ShrinkPerturb(), ShrinkPerturb(0.8, 0.3), LaterLayers(0), Full())
    ]
    params = starts(model, 4)
    rates = [SGD(0.05), SGD(0.05), SGD(1e38), SGD(0.02)]  # one of them diverges, and leaves
    orders = [seeded(7), seeded(7), seeded(9), seeded(9)]
    together = train(model, params, plans, rates, order=orders)
    assert [o.diverged for o in together] == [False, False, True, False]
    for r in (0, 1, 3):
        [alone] = train(
            model, row(params, r), plans[r], rates[r], networks=[r], order=orders[r : r + 1]
        )
        assert_same(together[r].params, alone.params)
        for name in ("stage_train_accuracy", "stage_test_accuracy", "ensemble_accuracy"):
            a, b = looks(together[r], name), looks(alone, name)
            assert a == pytest.approx(b, abs=0.011) and a
    again = train(model, params, plans, rates, order=orders)
    for r in (0, 1, 3):
        assert again[r] == together[r]
        assert all(torch.equal(p, together[r].params[n]) for n, p in again[r].params.items())


def test_layer_wise_in_a_group_and_its_networks_can_be_asked_again():
    model = MODELS["mlp"]  # trained as one elsewhere; here its outputs are normalized by hooks
    params, stages = starts(model, 3), Stages(LayerWise(), 2)
    together = train(model, params, stages)
    for r in range(3):
        [alone] = train(model, row(params, r), stages, networks=[r])
        assert_same(together[r].params, alone.params)
    assert "act2.lw_norm.std" in together[0].params
    ends = {n: torch.stack([o.params[n] for o in together]) for n in together[0].params}
    test = data().test
    found = accuracy(model, ends, replace(test, x=test.x.flatten(1)))
    assert found.tolist() == pytest.approx([o.test_accuracy for o in together], abs=1e-6)


def test_networks_are_asked_with_the_buffers_of_their_own():
    model = MODELS["densenet"]
    together = train(model, starts(model, 3), Stages(ShrinkPerturb(), 2))
    ends = {n: torch.stack([o.params[n] for o in together]) for n in together[0].params}
    found = accuracy(model, ends, data().test)
    assert found.tolist() == pytest.approx([o.test_accuracy for o in together], abs=1e-6)


def test_soft_targets_shared_by_modules():
    model, soft = MODELS["densenet"], F.one_hot(data().train.y, 10).float()
    hard = train(model, starts(model, 2), Stages(Head(), 2))
    same = train(model, starts(model, 2), Stages(Head(), 2), targets=soft)
    for a, b in zip(hard, same, strict=True):
        assert_same(a.params, b.params)


def test_the_loss_of_born_again_networks_by_hand():
    """Two classes, one example: p = (¾, ¼) of the student, q = (½, ½) of the teacher, label 0."""
    logits = torch.tensor([[[3.0, 1.0]]]).log()
    targets = torch.tensor([[[0.5, 0.5, 1.0, 0.0]]])
    teacher = -0.5 * torch.tensor(0.75).log() - 0.5 * torch.tensor(0.25).log()
    label = -torch.tensor(0.75).log()
    for weight in (0.0, 1.0, 2.0):
        loss = DistillationLoss(CrossEntropy(), CrossEntropy(), weight)
        torch.testing.assert_close(loss(logits, targets)[0], teacher + weight * label)
        losses, gradient = loss.gradient(logits, targets)
        torch.testing.assert_close(losses[0], teacher + weight * label)
        expected = torch.tensor([0.75 - 0.5, 0.25 - 0.5])
        expected += weight * torch.tensor([0.75 - 1, 0.25])
        torch.testing.assert_close(gradient[0, 0], expected)


def test_label_smoothing_is_of_labels_and_not_of_a_teacher():
    model, stages = MODELS["mlp"], Stages(Full(), 2, teacher="with labels")
    params = starts(model, 1)
    [outcome] = train(model, params, stages, schedule=Cosine(), loss=CrossEntropy(0.2))
    module, _ = by_torch(model, {k: v[0] for k, v in params.items()}, stages, smoothing=0.2)
    assert_same(outcome.params, module.state_dict(), 1e-4)


def test_labels_of_their_own_and_curves_at_the_end_of_stages():
    model, params = MODELS["mlp"], starts(MODELS["mlp"], 2)
    y = data().train.y
    labels = torch.stack([y, (y + 1) % 10])
    stages = Stages(Full(), 2, teacher="with labels")
    curves = Curves(("test_accuracy", "distance"), resolution=9.0)
    together = train(model, params, stages, targets=labels, curves=curves)
    [alone] = train(model, row(params, 1), stages, networks=[1], targets=labels[1], curves=curves)
    assert_same(together[1].params, alone.params)
    for outcome in together:
        assert {0, 10, 20} <= set(looks(outcome, "distance"))
        stage = looks(outcome, "stage_test_accuracy")
        assert stage.items() <= looks(outcome, "test_accuracy").items()
        assert stage[20] == outcome.test_accuracy


@pytest.mark.parametrize(
    ("stages", "budget", "says"),
    [
        ([Stages(Full(), 5)], Budget(epochs=4), "5 stages need a budget of as many epochs, not 4"),
        (
            [Stages(Full(), 2)],
            Budget(target_test_accuracy=0.9),
            "trains for all of its budget: give a budget",
        ),
        (
            [Stages(Full(), 2)],
            Budget(patience=3),
            "without target, fitted, loss, patience and select",
        ),
        ([Stages(Full(), 2), Stages(Full(), 3)], Budget(), "may differ in their method alone"),
        ([Stages(Full(), 2), Stages(LayerWise(), 2)], Budget(), "all or none of the methods"),
    ],
)
def test_stages_that_do_not_fit_are_refused(stages, budget, says):
    with pytest.raises(ValueError) as error:
        check_stages(stages, budget)
    assert says in str(error.value)
    with pytest.raises(ValueError) as error:
        train(MODELS["mlp"], starts(MODELS["mlp"], len(stages)), stages, budget=budget)
    assert says in str(error.value)


def test_stages_need_something_to_draw():
    model, given = MODELS["mlp"], {"optimizer": SGD(), "budget": Budget(), "order": seeded(0)}
    with pytest.raises(ValueError, match="stages draw parameters anew: give fresh=…"):
        fit(model, starts(model, 1), data(), stages=Stages(Full(), 2), **given)
    with pytest.raises(ValueError, match="2 values of stages were given for 1 networks"):
        fit(model, starts(model, 1), data(), stages=[Stages(Full(), 2)] * 2, **given)


def test_wrong_labels_that_a_network_knows_by_heart():
    """Against a count over its own predictions, for each network its own wrong labels."""
    model, samples = MODELS["mlp"], data()
    truth = samples.train.y
    labels = torch.stack([LabelNoise(rate, seed=s)(truth, 10) for rate, s in ((0.2, 0), (0.4, 1))])
    params = starts(model, 2)
    curves = Curves(("wrong_fitted", "train_accuracy"), resolution=9.0)
    stages = Stages(ShrinkPerturb(), 2)
    outcomes = train(model, params, stages, targets=labels, curves=curves)
    for outcome, own in zip(outcomes, labels, strict=True):
        found = looks(outcome, "wrong_fitted")
        assert 10 in found  # the end of a stage is looked at
        end = {n: t.unsqueeze(0) for n, t in outcome.params.items()}
        given = model.forward(end, samples.train.x.flatten(1)).argmax(-1)[0]
        wrong = own != truth
        assert found[max(found)] == pytest.approx(float((given == own)[wrong].float().mean()))
    plain = train(model, params, stages, curves=curves)
    assert not looks(plain[0], "wrong_fitted") and looks(plain[0], "train_accuracy")


@pytest.mark.parametrize(
    "stages",
    [None, Stages(ShrinkPerturb(), 2), Stages(Full(), 2, teacher="alone")],
    ids=["standard", "shrink and perturb", "born again"],
)
def test_the_test_set_is_read_once_where_no_curves_are_asked_for(stages, monkeypatch):
    """When training has ended, and never before."""
    read, whole, model = [], Training._whole, MODELS["mlp"]

    def counted(self, split, rows, *more, **others):
        read.append((split is self.data.test, list(rows), bool(self.alive)))
        return whole(self, split, rows, *more, **others)

    monkeypatch.setattr(Training, "_whole", counted)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    train(model, starts(model, 2), stages, curves=None)
    assert read == [(True, [0, 1], True)]
