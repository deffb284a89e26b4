"""What a person is told about a wrong profile: where, which field, what is wrong and what to do, all of it at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.profile.load import Problem, ProfileError, load_profile, parse_profile

GOOD = '[model]\nbase = "base"\n\n[[dataset.sources]]\npath = "images"\n'


def problems(text: str, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, folder=Path("/w"), source=Path("cat.toml"), overrides=overrides)
    return caught.value.problems


def only(text: str, *overrides: str) -> Problem:
    found = problems(text, *overrides)
    assert len(found) == 1, "\n".join(map(str, found))
    return found[0]


WRONG_VALUES = [
    # table, line, the message
    ("[optimizer]", 'lr = "1e-4"', "must be a number above 0 and at most 10, not text; write 1e-4 without quotes"),
    ("[optimizer]", 'lr = "0,0001"', "not text; write decimals with a dot: 0.0001"),
    ("[optimizer]", "lr = 0", "lr = 0: must be a number above 0 and at most 10"),
    ("[optimizer]", "lr = 11.0", "lr = 11.0: must be a number above 0 and at most 10"),
    ("[optimizer]", "lr = 1e400", "lr = 1e400: must be a number above 0 and at most 10, not infinity"),
    ("[optimizer]", "lr = nan", "not nan"),
    ("[optimizer]", "lr = true", "must be a number above 0 and at most 10, not true or false"),
    ("[optimizer]", "lr = [1e-4]", "not a list"),
    ("[optimizer]", "lr = 2024-01-01", "not a date or time"),
    ("[optimizer]", "beta1 = 1", "must be a number at least 0 and below 1"),
    ("[training]", "steps = true", "must be a whole number from 1 to 10,000,000, not true or false"),
    ("[training]", "steps = 100.0", "not a fraction; write 100"),
    ("[training]", "steps = 100.5", "must be a whole number from 1 to 10,000,000, not a fraction"),
    ("[training]", 'steps = "many"', 'steps = "many": must be a whole number'),
    ("[training]", "steps = -1", "must be a whole number from 1"),
    ("[training]", f"seed = {2**63}", "must be a whole number at least 0 and below"),
    ("[dataset]", "resolution = 1001", "that is a multiple of 8; write 1000 or 1008"),
    ("[dataset]", "buckets = 1", "must be true or false, not a whole number; write true"),
    ("[dataset]", 'buckets = "false"', "not text; write false without quotes"),
    (
        "[schedule]",
        'kind = "cosin"',
        "cosine_with_restarts, polynomial, inverse_sqrt, warmup_stable_decay, rex, piecewise, one_cycle; did you mean cosine?",
    ),
    ("[schedule]", 'kind = "cosine_with_min_lr"', "did you mean cosine?"),
    ("[schedule]", 'kind = "piecewise_constant"', "did you mean piecewise?"),
    ("[schedule]", 'kind = "onecycle"', "did you mean one_cycle?"),
    ("[schedule]", 'kind = "constant_with_warmup"', "did you mean constant?"),
    ("[schedule]", "kind = 3", "one_cycle, not a whole number"),
    ("[precision]", 'compute = "float16"', "must be one of fp32, bf16, fp16; did you mean fp16?"),
    ("[precision]", 'compute = "no"', "did you mean fp32?"),
    ("[network]", 'kind = "lora2"', "did you mean lora?"),
    ("[samples]", 'prompts = "a cat"', 'must be a list of texts, not text; put it in brackets: ["a cat"]'),
    ("[launch]", 'device = "gpu"', "must be auto, cpu, cuda or cuda:N"),
    ("[samples]", 'negative = "\\u0000"', ""),
]


@pytest.mark.parametrize(("table", "line", "message"), WRONG_VALUES[:-1])
def test_a_wrong_value_is_told_with_its_rule(table: str, line: str, message: str) -> None:
    text = GOOD.replace("[[dataset", f"{line}\n\n[[dataset") if table == "[dataset]" else f"{GOOD}\n{table}\n  {line}\n"
    if table == "[dataset]":
        text = text.replace(line, f"[dataset]\n  {line}")
    problem = only(text)
    assert message in str(problem)
    number = next(i for i, written in enumerate(text.splitlines(), 1) if line in written)
    assert str(problem).startswith(f"cat.toml:{number}:3: {table.strip('[]')}.{line.partition(' ')[0]}")


def test_any_text_is_a_negative_prompt() -> None:
    text = f"{GOOD}[samples]\nnegative = '[not] = a # table'\n"
    assert parse_profile(text, folder=Path("/w")).profile.samples.negative == "[not] = a # table"


UNKNOWN = [
    ("learning_rate = 1e-4\n", "learning_rate: there is no such field; did you mean optimizer.lr?"),
    ("[training]\nlr = 1e-4\n", "training.lr: there is no such field; it belongs into [optimizer]"),
    ("[training]\nlearning_rate = 1e-4\n", "did you mean optimizer.lr?"),
    ("[optimizer]\nlearing_rate = 1e-4\n", "did you mean optimizer.lr?"),
    ("[network]\nnetwork_dim = 8\n", "did you mean network.rank?"),
    ("[network]\nlinear_alpha = 8\n", "did you mean network.alpha?"),
    ("[training]\nmax_train_steps = 8\n", "did you mean training.steps?"),
    ("[training]\ntrain_batch_size = 8\n", "did you mean training.batch_size?"),
    ("[training]\nwarmup_steps = 8\n", "it belongs into [schedule]"),
    ("[schedule]\nlr_scheduler = 'cosine'\n", "did you mean schedule.kind?"),
    ("[schedule]\ntype = 'cosine'\n", "did you mean schedule.kind?"),
    ("[optimizer]\ntype = 'adamw'\n", "did you mean optimizer.kind?"),
    ("[optimizer]\nbeta_1 = 0.9\n", "did you mean optimizer.beta1?"),
    ("[samples]\nprompt = ['x']\n", "did you mean samples.prompts?"),
    ("[checkpoints]\nsave_every_n_steps = 5\n", "did you mean checkpoints.every_steps?"),
    ("[precision]\nzzz = 5\n", "there is no such field; [precision] has compute, base, save"),
    ("zzz = 5\n", "there is no such field; the top level has schema, name, extends, without, stages, [model], "),
    ("[optimiser]\nlr = 1\n", "optimiser: there is no such section; did you mean [optimizer]?"),
    ("[lora]\nrank = 1\n", "did you mean [network]?"),
    ("[zzz]\nrank = 1\n", "the sections are model, network, dataset"),
    ('"a b" = 1\n', '"a b": there is no such field'),
]


@pytest.mark.parametrize(("text", "message"), UNKNOWN)
def test_an_unknown_name_is_told_with_the_nearest_known_one(text: str, message: str) -> None:
    whole = f"{text}\n{GOOD}"
    problem = only(whole)
    assert message in str(problem)
    assert problem.line == (1 if problem.field in text.splitlines()[0] or "[" not in text else 2)


def test_a_field_of_a_source_is_known_there() -> None:
    problem = only(f"{GOOD}num_repeats = 3\n")
    assert str(problem) == "cat.toml:6:1: dataset.sources[0].num_repeats: there is no such field; did you mean repeats?"


def test_a_secret_is_refused_and_not_shown() -> None:
    problem = only(f"[launch]\nhf_token = 'hf_abcdef'\n{GOOD}")
    assert "no secrets" in problem.rule
    assert "hf_abcdef" not in str(problem)


def test_a_misspelt_field_that_sounds_like_a_secret_is_told_with_its_name() -> None:
    assert "did you mean captions.keep_tokens?" in str(only(f"[captions]\nkeep_token = 1\n{GOOD}"))
    assert "did you mean keep_tokens?" in str(only(f"{GOOD}keep_token = 3\n"))


MISSING = [
    ("", ["model.base", "dataset.sources"]),
    ("[model]\n[dataset]\n", ["model.base", "dataset.sources"]),
    ("[model]\nbase = 'x'\n[dataset]\nsources = []\n", ["dataset.sources"]),
    ("[model]\nbase = 'x'\n[[dataset.sources]]\n", ["dataset.sources[0].path"]),
    ("[model]\nbase = ''\n[[dataset.sources]]\npath = ''\n", ["model.base", "dataset.sources[0].path"]),
]


@pytest.mark.parametrize(("text", "fields"), MISSING)
def test_what_is_missing_is_named(text: str, fields: list[str]) -> None:
    found = problems(text)
    assert [problem.field for problem in found] == fields
    assert all(problem.rule.startswith(("is missing", "must be")) for problem in found)
    assert all(problem.suggestion or problem.value for problem in found)


WRONG_SHAPES = [
    (
        'optimizer = "adamw"\n',
        "optimizer",
        "is a section, not text; write [optimizer] on a line of its own and below it kind",
    ),
    ("training = 5\n", "training", "is a section, not a whole number"),
    ("[[optimizer]]\nlr = 1\n", "optimizer", "is a section, not a list; write [optimizer] with single brackets"),
]


@pytest.mark.parametrize(("text", "field", "message"), WRONG_SHAPES)
def test_a_section_that_is_none_is_explained(text: str, field: str, message: str) -> None:
    problem = only(f"{text}{GOOD}")
    assert problem.field == field
    assert message in str(problem)


SOURCES = [
    ('sources = "cats"', 'write [[dataset.sources]] and below it path = "cats"'),
    ('sources = ["cats"]', 'write [[dataset.sources]] and below it path = "cats"'),
    ("sources = 3", "must be one or more [[dataset.sources]] tables"),
    ('sources = { path = "cats" }', "write [[dataset.sources]] with double brackets"),
]


@pytest.mark.parametrize(("line", "message"), SOURCES)
def test_sources_in_another_shape_are_explained(line: str, message: str) -> None:
    assert message in str(only(f"[model]\nbase = 'x'\n[dataset]\n{line}\n"))


RULES = [
    (
        "[training]\nsteps = 50\n[schedule]\nwarmup_steps = 60\n",
        "schedule.warmup_steps = 60: is longer than training.steps 50",
    ),
    ("[schedule]\nwarmup_steps = 2000\n", "is longer than training.steps 1600; use at most 1600"),
    (
        "[schedule]\ncycles = 2\n",
        "schedule.cycles = 2: is not used by the schedule cosine; remove it, or set schedule.kind to cosine_with_restarts",
    ),
    ("[schedule]\nkind = 'constant'\nmin_factor = 0.1\n", "is not used by the schedule constant; remove it, or choose"),
    (
        "[schedule]\nkind = 'one_cycle'\nwarmup_share = 0.1\n",
        "schedule.warmup_share = 0.1: is not used by the schedule",
    ),
    (
        "[schedule]\nwarmup_steps = 5\nwarmup_share = 0.1\n",
        "is given besides schedule.warmup_steps; keep one of the two",
    ),
    (
        "[schedule]\nkind = 'piecewise'\n",
        'schedule.rules = "": is empty, and the schedule piecewise has no other shape',
    ),
    ("[schedule]\nkind = 'piecewise'\nrules = '0:1, 5'\n", "has '5', which is not step:factor; write \"0:1, 500:0.5\""),
    ("[schedule]\nkind = 'piecewise'\nrules = '0:1, 1600:0.5'\n", "has a rule for step 1600, which is not reached"),
    ("[training]\nsteps = 2\n[schedule]\nkind = 'cosine_with_restarts'\n", "schedule.cycles = 3: would make the first"),
    (
        "[schedule]\nkind = 'warmup_stable_decay'\nwarmup_share = 0.5\ndecay_share = 0.8\n",
        "schedule.decay_share = 0.8: is 1280 steps, which do not fit into 1600 steps with a warmup of 800; use at most 0.5",
    ),
    (
        "[optimizer]\nd_coef = 2.0\n",
        "optimizer.d_coef = 2.0: is not used by the optimizer adamw; remove it, or set optimizer.kind to",
    ),
    (
        "[optimizer]\nkind = 'lion'\neps = 1e-6\n",
        "optimizer.eps = 1e-06: is not used by the optimizer lion; remove it, or choose",
    ),
    (
        "[optimizer]\nsafeguard_warmup = true\n",
        "is not used by the optimizer adamw; remove it, or set optimizer.kind to prodigy",
    ),
    (
        "[optimizer]\nkind = 'prodigy'\n",
        "would keep prodigy from learning: it finds the rate itself and multiplies it by this",
    ),
    (
        "[optimizer]\nkind = 'prodigy'\nlr = 1.0\nunet_lr = 0.5\n",
        "optimizer.unet_lr = 0.5: is not used by the optimizer prodigy",
    ),
    (
        "[optimizer]\nkind = 'schedule_free_adamw'\n",
        "does not go with the schedule cosine; set schedule.kind to constant",
    ),
    (
        "[optimizer]\nkind = 'schedule_free_adamw'\n[schedule]\nkind = 'constant'\n[ema]\ndecay = 0.99\n",
        "ema.decay = 0.99: would average what schedule_free_adamw averages itself",
    ),
    (
        "[optimizer]\nkind = 'schedule_free_adamw'\nbeta1 = 0.0\n[schedule]\nkind = 'constant'\n",
        "optimizer.beta1 = 0.0: leaves schedule_free_adamw nothing to average",
    ),
    ("[checkpoints]\nkeep_last = 1\n", "use 0 (keep all) or at least 2"),
    (
        "[checkpoints]\nkeep_best = 2\n[validation]\nshare = 0.1\n",
        "checkpoints.keep_best = 2: changes nothing: checkpoints.keep_last = 0 keeps all",
    ),
    (
        "[checkpoints]\nkeep_last = 2\nkeep_best = 2\n",
        "has nothing to compare: no images are held out; set validation.share",
    ),
    (
        "[checkpoints]\nkeep_last = 2\nkeep_best = 2\nevery_steps = 100\n[validation]\nshare = 0.1\n",
        "compares nothing: checkpoints are saved every 100 steps and measured every 250",
    ),
    ("[checkpoints]\nkeep_every_steps = 500\n", "changes nothing: checkpoints.keep_last = 0 keeps all"),
    (
        "[checkpoints]\nkeep_last = 2\nkeep_every_steps = 700\n",
        "is no multiple of checkpoints.every_steps 250, so nothing",
    ),
    ("[checkpoints]\nkeep_last = 2\nkeep_every_steps = 700\nevery_steps = 0\n", "saves at no fixed steps"),
    ("[dataset]\nresolution = 128\n", "must lie between dataset.bucket_min 256 and dataset.bucket_max 2048; lower"),
    ("[dataset]\nbucket_max = 512\n", "dataset.resolution = 1024: must lie between dataset.bucket_min 256"),
    ("[dataset]\nresolution = 256\nbucket_step = 512\n", "has no multiple between"),
]


@pytest.mark.parametrize(("text", "message"), RULES)
def test_fields_that_contradict_each_other_are_told(text: str, message: str) -> None:
    problem = only(f"{text}{GOOD}")
    assert message in str(problem)
    assert problem.line is not None


def test_every_setting_that_does_nothing_is_told_at_once() -> None:
    text = f"[schedule]\ncycles = 2\npower = 2.0\ntimescale = 5\nwarmup_steps = 2000\n{GOOD}"
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, folder=Path("/w"))
    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"schedule.cycles", "schedule.power", "schedule.timescale", "schedule.warmup_steps"}


def test_without_buckets_their_sizes_do_not_matter() -> None:
    text = f"[dataset]\nbuckets = false\nresolution = 128\nbucket_step = 512\n{GOOD}"
    assert parse_profile(text, folder=Path("/w")).profile.dataset.resolution == 128


def test_a_rule_is_not_judged_on_a_value_that_is_wrong_itself() -> None:
    problem = only(f'[training]\nsteps = "x"\n[schedule]\nwarmup_steps = 5000\n{GOOD}')
    assert problem.field == "training.steps"


MANY = """\
learning_rate = 1e-4
name = "my lora"
[model]
base = 3
[optimizer]
lr = 1e400
weight_decay = "x"
[training]
steps = 100
[schedule]
warmup_steps = 200
[checkpoints]
keep_last = 1
[samples]
prompts = ["a", 1]
"""


def test_all_problems_are_told_at_once_in_the_order_of_the_file() -> None:
    found = problems(MANY, "network.rank=0", "nonsense")
    assert [(problem.line, problem.field) for problem in found] == [
        (1, "learning_rate"),
        (2, "name"),
        (4, "model.base"),
        (6, "optimizer.lr"),
        (7, "optimizer.weight_decay"),
        (11, "schedule.warmup_steps"),
        (13, "checkpoints.keep_last"),
        (15, "samples.prompts[1]"),
        (None, "dataset.sources"),
        (None, "network.rank"),
        (None, ""),
    ]


def test_the_error_is_one_line_per_problem_in_plain_words() -> None:
    with pytest.raises(UserError) as caught:
        parse_profile(MANY, folder=Path("/w"), source=Path("cat.toml"))
    text = str(caught.value)
    assert len(text.splitlines()) == len(caught.value.problems) + 1  # type: ignore[attr-defined]
    assert not re.search(r"Input should|pydantic|https?:|value_error|type=|Traceback", text)
    assert "\n".join(map(str, caught.value.problems)) in text  # type: ignore[attr-defined]


def test_a_problem_carries_its_parts() -> None:
    problem = only(f"{GOOD}\n[optimizer]\nlr = 20\n")
    assert problem == Problem(
        file="cat.toml",
        line=8,
        column=1,
        field="optimizer.lr",
        value="20",
        rule="must be a number above 0 and at most 10",
    )


def test_an_older_program_says_so_of_a_newer_format() -> None:
    assert "only version" in str(only(f"schema = 2\n{GOOD}"))


@pytest.mark.parametrize("name", ["../../x", "-rf", "a/b", "x" * 65, "a b", "", "ünï", "a\\nb"])
def test_a_name_that_makes_no_safe_folder_is_refused(name: str) -> None:
    assert only(f'name = "{name}"\n{GOOD}').field == "name"


def test_paths_are_taken_from_the_profiles_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "profiles").mkdir()
    path = tmp_path / "profiles" / "cat.toml"
    path.write_text(
        '[model]\nbase = "../base"\n[dataset]\nsources = [{path = "~/cats"}, {path = "dogs"}, {path = "/abs"}]\n'
    )
    profile = load_profile(path).profile
    assert profile.model.base == str(tmp_path / "base")
    assert [source.path for source in profile.dataset.sources] == [
        "/home/me/cats",
        str(tmp_path / "profiles" / "dogs"),
        "/abs",
    ]


def test_bundled_paths_stay_as_they_are() -> None:
    text = "[model]\nbase = 'bundled:demo-base'\n[[dataset.sources]]\npath = 'bundled:demo-images'\n"
    profile = parse_profile(text, folder=Path("/w")).profile
    assert (profile.model.base, profile.dataset.sources[0].path) == ("bundled:demo-base", "bundled:demo-images")


@pytest.mark.parametrize("written", ['"a\\u0000b"', '"~nobody-of-this-name/x"'])
def test_a_path_that_can_be_none_is_refused(written: str) -> None:
    problem = only(f"[model]\nbase = {written}\n[[dataset.sources]]\npath = 'x'\n")
    assert (problem.line, problem.field) == (2, "model.base")
