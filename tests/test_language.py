"""The networks for texts, lstm and gpt, against plain ones with the same weights."""

import copy
import math
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import torch
from handmade import resolved, settings, train_one
from torch import nn
from torch.nn import functional

from optlab import trained
from optlab.catalogue import networks as catalogue
from optlab.catalogue.datasets import built_in
from optlab.catalogue.networks import NETWORKS
from optlab.data import prepare, texts
from optlab.errors import UserError
from optlab.parts.networks import gpt, lstm
from optlab.probe import questions, trial
from optlab.study import table
from optlab.training import datasets, loop, networks
from optlab.training.batches import Batches
from optlab.training.checkpoints import Checkpoints

ROOT = Path(__file__).parents[1]
GPT = {"layers": 3, "heads": 2, "units": 12, "dropout": 0.0}
LSTM = {"layers": 2, "units": 8, "dropout": 0.0}
BUILDERS = {"gpt": (gpt.build, GPT), "lstm": (lstm.build, LSTM)}


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def normed(x, weight, bias):
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight + bias


def plain_gpt(state, symbols, layers, heads, units, dropout):
    """The transformer in plain functions, one head after the other, with a mask."""
    values = iter(state.values())

    def take(number=2):
        return [next(values) for _ in range(number)]

    table, positions = take()
    count = symbols.shape[1]
    x = table[symbols] + positions[:count]
    hidden = torch.ones(count, count).triu(1).bool()
    for _ in range(layers):
        norm = take()
        (w_in, b_in), (w_out, b_out) = take(), take()
        q, k, v = (normed(x, *norm) @ w_in.T + b_in).split(units, -1)
        size, seen = units // heads, []
        for head in range(heads):
            own = slice(head * size, (head + 1) * size)
            scores = q[..., own] @ k[..., own].mT / math.sqrt(size)
            seen.append(scores.masked_fill(hidden, -math.inf).softmax(-1) @ v[..., own])
        x = x + torch.cat(seen, -1) @ w_out.T + b_out
        norm = take()
        (w_in, b_in), (w_out, b_out) = take(), take()
        y = normed(x, *norm) @ w_in.T + b_in
        y = 0.5 * y * (1 + torch.tanh(math.sqrt(2 / math.pi) * (y + 0.044715 * y**3)))
        x = x + y @ w_out.T + b_out
    norm, (weight, bias) = take(), take()
    assert next(values, None) is None
    return normed(x, *norm) @ weight.T + bias


def plain_lstm(state, symbols, layers, units, dropout):
    """The recurrent network step by step."""
    values = iter(state.values())
    x = next(values)[symbols]
    for _ in range(layers):
        w_x, w_h, b_x, b_h = (next(values) for _ in range(4))
        h = c = torch.zeros(len(x), units, dtype=x.dtype)
        states = []
        for step in range(x.shape[1]):
            gates = x[:, step] @ w_x.T + b_x + h @ w_h.T + b_h
            enters, forgets, cell, leaves = gates.chunk(4, -1)
            c = forgets.sigmoid() * c + enters.sigmoid() * cell.tanh()
            h = leaves.sigmoid() * c.tanh()
            states.append(h)
        x = torch.stack(states, 1)
    weight, bias = values
    return x @ weight.T + bias


PLAIN = {"gpt": plain_gpt, "lstm": plain_lstm}


@pytest.mark.parametrize("name", BUILDERS)
def test_outputs_are_those_of_a_plain_network_with_the_same_weights(name):
    build, options = BUILDERS[name]
    model = build((11,), 7, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    symbols = torch.randint(0, 7, (5, 11))
    expected = PLAIN[name](dict(model.state_dict()), symbols, **options)
    torch.testing.assert_close(model(symbols), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", BUILDERS)
def test_no_symbol_sees_one_after_it_and_the_last_sees_the_first(name):
    build, options = BUILDERS[name]
    model = build((11,), 7, **options).double()
    symbols = torch.randint(0, 7, (4, 11))
    before = model(symbols)
    for place in (0, 5, 10):
        changed = symbols.clone()
        changed[:, place] = (changed[:, place] + 1) % 7
        after = model(changed)
        assert torch.equal(after[:, :place], before[:, :place])
        assert (after[:, place:] != before[:, place:]).any(-1).all()
    shorter = model(symbols[:, :6])
    torch.testing.assert_close(shorter, before[:, :6], rtol=1e-12, atol=1e-12)


def test_initial_weights_are_those_of_gpt_2():
    layers, units = 8, 128
    model = gpt.build((64,), 100, layers, 4, units, 0.0)
    last = 0.02 / math.sqrt(2 * layers)
    kinds = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            wanted = last if name.endswith("outer") else 0.02
            assert module.weight.std().item() == pytest.approx(wanted, rel=0.05), name
            assert abs(module.weight.mean().item()) < wanted / 10, name
            kinds[wanted] = kinds.get(wanted, 0) + 1
        if isinstance(module, nn.LayerNorm):
            assert (module.weight == 1).all()
        if isinstance(module, nn.Linear | nn.LayerNorm):
            assert (module.bias == 0).all()
    assert kinds == {last: 2 * layers, 0.02: 2 * layers + 3}
    # So that a network that has learned nothing gives each symbol the same chance.
    logits = model(torch.randint(0, 100, (8, 64)))
    loss = functional.cross_entropy(logits.flatten(0, 1), torch.randint(0, 100, (8 * 64,)))
    assert loss.item() == pytest.approx(math.log(100), rel=0.02)


def places_of_dropout(model, symbols):
    """Which of the things that a network adds or passes on have zeros in training."""
    found = []
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.register_forward_hook(lambda m, x, y: found.append((y == 0).double().mean()))
    model.train()(symbols)
    return [round(share.item(), 1) for share in found]


def test_dropout_is_where_it_belongs_and_only_in_training():
    symbols = torch.randint(0, 7, (64, 11))
    wet = gpt.build((11,), 7, **{**GPT, "dropout": 0.3})
    assert places_of_dropout(wet, symbols) == [0.3] * (1 + 2 * GPT["layers"])
    with torch.no_grad():
        one, other = wet.blocks[0].attention, None
        one.dropout.p = 0.0  # what is left is that of the attention's weights
        x = torch.randn(4, 11, 12)
        assert not torch.equal(one(x), one(x))
        one.eval()
        assert torch.equal(one(x), one(x)) and other is None
    recurrent = lstm.build((11,), 7, **{**LSTM, "dropout": 0.3})
    assert places_of_dropout(recurrent, symbols) == [0.3, 0.3]
    assert recurrent.recurrent.dropout == 0.3
    for model in (wet, recurrent):
        assert torch.equal(model.eval()(symbols), model(symbols))
        assert not torch.equal(model.train()(symbols), model(symbols))
    assert lstm.build((11,), 7, 1, 8, 0.3).recurrent.dropout == 0.0  # without a warning


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("threads", [1, 2])
def test_gradients_are_the_same_every_time(name, dropout, threads):
    build, options = BUILDERS[name]
    model = build((40,), 50, **{**options, "dropout": dropout})
    symbols = torch.randint(0, 50, (32, 40))
    torch.set_num_threads(threads)
    seen = []
    for _ in range(4):
        torch.manual_seed(3)
        model.zero_grad()
        functional.cross_entropy(model(symbols).flatten(0, 1), symbols.flatten()).backward()
        seen.append([p.grad.clone() for p in model.parameters()])
    for other in seen[1:]:
        assert all(map(torch.equal, seen[0], other))


@pytest.mark.parametrize("name", BUILDERS)
@pytest.mark.parametrize("symbols", [8, 40])
def test_work_is_that_of_the_network(name, symbols):
    build, options = BUILDERS[name]
    model, work = build((symbols,), catalogue.SYMBOLS, **options), NETWORKS[name].work
    found = work((symbols,), options)
    weights = sum(parameter.numel() for parameter in model.parameters())
    assert found.weights == pytest.approx(weights, rel=0.1)
    tables = sum(m.weight.numel() for m in model.modules() if isinstance(m, nn.Embedding))
    products = (weights - tables) * symbols
    if name == "gpt":
        products += 2 * GPT["layers"] * GPT["units"] * symbols**2
    assert found.products == pytest.approx(products, rel=0.12)
    own, kept = {p.untyped_storage().data_ptr() for p in model.parameters()}, {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = (tensor, storage.nbytes() / 4)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        x = torch.randint(0, catalogue.SYMBOLS, (16, symbols))
        loss = functional.cross_entropy(model(x).flatten(0, 1), x.flatten())
    numbers = sum(size for place, (_, size) in kept.items() if place not in own) / 16
    assert loss > 0 and 0.7 < found.activations / numbers < 3


@pytest.mark.parametrize(
    ("model", "dataset", "told"),
    [
        ("gpt", "digits", "gpt on digits: the network gpt needs texts, and this data set has n"),
        ("lstm", "wine", "lstm on wine: the network lstm needs texts, and this data set has none"),
        ("mlp", "python_docs", "mlp on python_docs: the network mlp takes no texts; lstm and gpt"),
        ("cnn", "python_docs", "cnn on python_docs: the network cnn takes no texts; lstm and gpt"),
        (
            "odd",
            "python_docs",
            "odd on python_docs: the network gpt cannot divide 10 units amo",
        ),
        ("gpt", "python_docs", None),
        ("lstm", "python_docs", None),
        ("mine.py:Net", "python_docs", None),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(model, dataset, told, here):
    (here / "mine.py").write_text("class Net: pass\n")
    odd = {"network": "gpt", "units": 10}
    one = {"datasets": [dataset], "models": [model], "optimizers": {"sgd": {"lr": [0.1]}}}
    exercises, messages = {"sweep": one}, [told]
    if model in NETWORKS:
        space = {"optimizer": {"type": "categorical", "choices": ["sgd"]},
                 "lr": {"type": "float", "low": 0.1, "high": 0.2}}  # fmt: skip
        search = {"kind": "search", "datasets": [dataset], "network": model, "space": space,
               "metric": "val_loss"}  # fmt: skip
        exercises["search"] = search
        messages.append(told and told.partition(": ")[2])
    for (name, exercise), message in zip(exercises.items(), messages, strict=True):
        if message is None:
            resolved({name: exercise}, models={"odd": odd})
            continue
        with pytest.raises(UserError) as error:
            resolved({name: exercise}, models={"odd": odd})
        assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_network_built_by_hand_refuses_images(name):
    build, options = BUILDERS[name]
    with pytest.raises(UserError, match=rf"^the network {name} needs texts, but examples here ha"):
        build((1, 8, 8), 10, **options)


def test_why_an_lstm_is_not_stacked_is_told(here):
    one = {"datasets": ["python_docs"], "models": ["lstm", "gpt"],
           "optimizers": {"sgd": {"lr": [0.1]}}}  # fmt: skip
    runs = {run.network: run for run in table.runs(resolved({"one": one}))}
    assert runs["lstm"].unstackable == "PyTorch does not stack the layers of lstm"
    assert runs["gpt"].unstackable is None


# -- training --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """A short text, prepared: 200 windows of 17 symbols."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "mine.txt").write_text(texts.corpus()[:3_400])
    keys = {"file": str(folder / "mine.txt"), "context": 16, "validation": 30, "test": 30}
    prepare.prepare("mine", {**built_in("text"), **keys}, folder / "d.json", None)
    return datasets.load(folder / "d.json")


def run_of(name, optimizer="adam", **more):
    options = {**BUILDERS[name][1], **more.pop("options", {})}
    usual = {"batch_size": 30, "epochs": 1, "precision": "float64"}
    return settings(name, optimizer, {"lr": 0.01}, options, **{**usual, **more})


@pytest.mark.parametrize("name", BUILDERS)
def test_an_epoch_is_that_of_a_plain_loop(name, text):
    run = run_of(name)
    trainer = loop.Trainer(run, text, [0])
    losses, take = [], trainer.take_step
    trainer.take_step = lambda x, y: losses.append(take(x, y)) or losses[-1]
    (outcome,) = trainer.run(lambda seed, row: None, Checkpoints(None, ""))
    state = {k: v.clone() for k, v in networks.build(run, text, 0).state_dict().items()}
    weights = [value.requires_grad_() for value in state.values()]
    optimizer = torch.optim.Adam(weights, lr=0.01)

    def loss_of(x, y):
        logits = PLAIN[name](state, x.long(), **BUILDERS[name][1])
        chances = logits.log_softmax(-1).gather(-1, y.long()[..., None])
        return -chances.sum() / y.numel()

    order = torch.cat([y for _, y in Batches(run, text, 0).epoch(1)])
    for number, y in enumerate(order.split(30)):
        rows = torch.stack([(text.train.y == one).all(1).nonzero()[0, 0] for one in y])
        optimizer.zero_grad()
        value = loss_of(text.train.x[rows], y)
        value.backward()
        optimizer.step()
        assert losses[number].item() == pytest.approx(value.item(), rel=1e-9)
    first, last = outcome.evaluations
    with torch.no_grad():
        expected = loss_of(text.validation.x, text.validation.y).item()
        tested = loss_of(text.test.x, text.test.y).item()
    assert last.val_loss == pytest.approx(expected, rel=1e-9) and last.val_loss < first.val_loss
    assert last.test_loss == pytest.approx(tested, rel=1e-9)
    assert last.more["val_bits_per_character"] == pytest.approx(expected / math.log(2))
    assert last.val_accuracy is None


def figures(outcome):
    return [{k: v for k, v in row.cells().items() if k != "seconds"} for row in outcome.evaluations]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_run_that_is_taken_up_again_is_the_same_to_the_last_digit(name, text):
    run = run_of(name, options={"dropout": 0.3}, epochs=3, precision="float32")
    whole = train_one(run, text, 0)
    assert figures(whole) == figures(train_one(run, text, 0))
    broken, saved = loop.Trainer(run, text, [0]), []

    class Saving(Checkpoints):
        def due(self):
            return broken.step == 7 and not saved

        def save(self, state):
            saved.append(copy.deepcopy(state))

    broken.run(lambda seed, row: None, Saving(None, ""))
    again = loop.Trainer(run, text, [0])
    again.restore(saved[0])
    assert again.step == 7
    (rest,) = again.run(lambda seed, row: None, Checkpoints(None, ""))
    assert figures(rest) == figures(whole)
    assert all(
        map(torch.equal, rest.model.state_dict().values(), whole.model.state_dict().values())
    )


def test_seeds_begin_with_other_weights_and_other_orders(text):
    for name in BUILDERS:
        one, other = (figures(train_one(run_of(name), text, seed)) for seed in (0, 1))
        assert one[0]["train_loss"] != other[0]["train_loss"]


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_transformers_can_be_stacked(precision, text):
    run = run_of("gpt", precision=precision)
    for seed, outcome in zip((0, 3), loop.train(run, text, [0, 3]), strict=True):
        for one, alone in zip(figures(outcome), figures(train_one(run, text, seed)), strict=True):
            exact = 1e-9 if precision == "float64" else 1e-4
            assert one["val_loss"] == pytest.approx(alone["val_loss"], rel=exact)


@pytest.mark.parametrize("name", BUILDERS)
def test_mixed_precision_trains_them(name, text):
    full, mixed = (
        train_one(run_of(name, precision=kind), text, 0).evaluations[-1].val_loss
        for kind in ("float32", "bfloat16")
    )
    assert mixed == pytest.approx(full, rel=0.02)


def test_muon_trains_hidden_matrices(text):
    rows = train_one(run_of("gpt", "muon"), text, 0).evaluations
    assert rows[-1].val_loss < rows[0].val_loss


OWN = """\
from torch import nn

class Good(nn.Module):
    def __init__(self, shape, outputs):
        super().__init__()
        assert shape == (16,)
        self.table = nn.Embedding(outputs, outputs)

    def forward(self, x):
        return self.table(x)

class Last(Good):
    def forward(self, x):
        return self.table(x)[:, -1]
"""


def test_the_probe_tries_them_on_the_text_of_the_study(here):
    (here / "own.py").write_text(OWN)
    part = {"source": "python_docs", "context": 16, "subset": 500, "test": 50}
    models = ["gpt", "lstm", "own.py:Good", "own.py:Last"]
    one = {"datasets": ["part"], "models": models, "optimizers": {"sgd": {"lr": [0.1]}}}
    study = resolved({"one": one}, datasets={"part": part}, device="cpu")
    found = {}
    for question in questions.of_study(study):
        data = trial.data_of(study, question.run)
        assert (data.task, data.shape, len(data.train.x)) == ("next_token", (16,), 444)
        if reason := trial.answer(question, data):
            found[question.run.model] = reason
    assert list(found) == ["own.py:Last"] and "\n" not in found["own.py:Last"]
    assert "returns the shape [256, 103] for 256 examples" in found["own.py:Last"] or not (
        texts.is_measured()
    )


STUDY = """\
study: words
seeds: 2
confirm: 4
device: cpu
datasets:
  mine: {source: text, file: mine.txt, symbols: bytes, context: 16, test: 40}
models:
  gpt: {network: gpt, layers: 1, units: 16, heads: 2}
  small: {network: lstm, units: 16}
exercises:
  talk:
    datasets: [mine]
    models: [gpt, small]
    epochs: [2]
    batch_sizes: [20]
    keep_weights: last
    optimizers:
      sgd: {lr: [0.1, 0.3]}
      adam: {lr: [0.01]}
    claims:
      - claim: Adam ends lower
        order: [{optimizer: adam, model: small}, {optimizer: sgd, model: small}]
        figure: val_loss
"""


@pytest.mark.slow
def test_a_study_of_a_text_has_tables_figures_and_a_page(here):
    (here / "mine.txt").write_text(texts.corpus()[:8_000])
    (here / "s.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    command += ["--configfile", "s.yaml", "--cores", "2"]
    subprocess.run(command, check=True, capture_output=True, timeout=400)
    tables = here / "results/words/tables"
    ranks = pandas.read_csv(tables / "optimizers.tsv", sep="\t")
    assert len(ranks) == 4 and (ranks["judged_by"] == "test_loss").all()
    expected = ranks["test_loss"] / math.log(2)
    assert ranks["test_bits_per_character"].tolist() == pytest.approx(expected.tolist(), rel=1e-4)
    (claim,) = pandas.read_csv(tables / "claims.tsv", sep="\t").to_dict("records")
    assert claim["measured"].startswith("adam") and claim["verdict"] == "holds"
    folders = [*Path("results/words/runs/talk/adam").glob("*/*/*")]
    assert len(folders) == 2
    for folder in folders:
        net, rows = trained.load(folder, 1), pandas.read_csv(folder / "metrics.tsv", sep="\t")
        test = datasets.load(net.run.data).test
        loss = functional.cross_entropy(net(test.x).flatten(0, 1), test.y.long().flatten())
        assert loss.item() == pytest.approx(rows["test_loss"].dropna().iloc[-1], rel=1e-5)
    program = str(ROOT / "workflow/scripts/paper.py")
    subprocess.run([sys.executable, program, "--study", "s.yaml"], check=True, capture_output=True)
    paper = (here / "results/words/paper/paper.md").read_text()
    assert "the last ones are the test set" in paper and "stratified by class" not in paper
    again = subprocess.run([*command, "-n"], check=True, capture_output=True, text=True)
    assert "nothing" in again.stdout + again.stderr


@pytest.mark.slow
def test_the_embedded_text_is_learnt_as_by_a_plain_loop_with_its_own_transformer():
    """The benchmark's two candidates after the same steps: within two per cent of the loss."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import language
    finally:
        del sys.path[0]
    data, found = language.text(), []
    for make in (language.ours, language.plain):
        model, steps = make(data, 0)
        for _ in range(120):
            next(steps)
        found.append(language.bits(model, data))
    assert found[0] == pytest.approx(found[1], rel=0.02) and found[0] < 4
