"""The model that tells activities: what it sees, what it says, and which files are refused."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import zipfile
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from wearables_platform.errors import ModelRefused
from wearables_platform.models.class_artifacts import read_class_artifact, write_class_artifact
from wearables_platform.models.class_evaluate import judge_classes
from wearables_platform.models.class_forest import ClassForest
from wearables_platform.models.class_gate import decide_classes, worse_in_class_slices
from wearables_platform.models.class_predict import (
    MOST_COST,
    ClassScorer,
    ClassTimeline,
    load_class_scorer,
    load_class_timeline,
)
from wearables_platform.models.class_set import ClassSet, assemble_classes
from wearables_platform.models.class_train import ClassCandidate, ClassParams, train_classes
from wearables_platform.models.inputs import imputed
from wearables_platform.models.labels import Label, label_windows
from wearables_platform.models.retelling import Newest, Retold, retell
from wearables_platform.models.slices import Known
from wearables_platform.models.spans import SPAN_FEATURES, Stretches, smoothed, span_matrix
from wearables_platform.models.speed import relative_cost
from wearables_platform.signals.windows import FEATURE_VERSION, WINDOW_US, WindowRows
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease
from wearables_platform_tests.model_windows import DAY_US, device_ids, draw_windows, person_of, worn_by_one_each

PEOPLE, PER_PERSON = 8, 120
ROWS = draw_windows(seed=3, people=PEOPLE, per_person=PER_PERSON)


def labels_by_the_minute() -> list[Label]:
    """Each wearer rests in even halves of a minute and moves in odd ones; the windows are drawn to show it."""
    return [
        Label(person_of(device), None, ("resting", "moving")[part % 2], begin_us, begin_us + 30_000_000, "protocol")
        for device in device_ids(PEOPLE)
        for part in range(PER_PERSON // 30)
        for begin_us in [DAY_US + part * 30_000_000]
    ]


@cache
def labelled() -> ClassSet:
    rows = draw_windows(seed=3, people=PEOPLE, per_person=PER_PERSON)
    moving = ((rows.start_us - DAY_US) // 30_000_000) % 2 == 1
    for name, factor in (("vm_std_g", 3.0), ("mad_mg", 3.0), ("x_mean_g", -2.0)):
        rows.features[name] = rows.features[name] * np.where(moving, factor, 1.0)
    wears = worn_by_one_each(PEOPLE)
    return assemble_classes(rows, device_ids(PEOPLE), wears, labels_by_the_minute(), FEATURE_VERSION)


@cache
def candidate() -> ClassCandidate:
    return train_classes(labelled(), ClassParams(n_trees=20))


def released(made: ClassCandidate, data: bytes | None = None) -> ModelRelease:
    return ModelRelease(
        name=made.description.name,
        version=made.description.version,
        sha256=hashlib.sha256(made.artifact if data is None else data).hexdigest(),
        lake_path=made.lake_path,
        feature_version=FEATURE_VERSION,
    )


def load(data: bytes) -> ClassScorer:
    return load_class_scorer(released(candidate(), data), lambda _path: data)


def with_member(name: str, data: bytes) -> bytes:
    """The candidate's file with one member replaced."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(candidate().artifact)) as source, zipfile.ZipFile(buffer, "w") as target:
        for entry in source.namelist():
            target.writestr(entry, data if entry == name else source.read(entry))
    return buffer.getvalue()


def npy(array: NDArray[Any], *, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=allow_pickle)
    return buffer.getvalue()


def member(name: str) -> NDArray[Any]:
    with zipfile.ZipFile(io.BytesIO(candidate().artifact)) as archive:
        return np.asarray(np.load(io.BytesIO(archive.read(f"{name}.npy"))))


@pytest.mark.parametrize("n_classes", [2, 5])
def test_probabilities_are_scikit_learns_bit_for_bit_and_a_rows_own(n_classes: int) -> None:
    rng = np.random.default_rng(n_classes)
    matrix = rng.normal(size=(900, 7)).astype(np.float32)
    label = (matrix[:, 0] * 2 + rng.normal(size=900)).argsort().argsort() * n_classes // 900
    grown = ExtraTreesClassifier(n_estimators=30, random_state=1).fit(matrix, label)
    forest = ClassForest.of(grown, 7)
    rows = rng.normal(size=(2_000, 7)).astype(np.float32)
    told = forest.probabilities(rows)
    assert np.array_equal(told, grown.predict_proba(rows))
    assert np.array_equal(np.concatenate([forest.probabilities(rows[at : at + 1]) for at in range(50)]), told[:50])


def test_the_same_set_gives_the_same_file_and_another_seed_another() -> None:
    again = train_classes(labelled(), ClassParams(n_trees=20))
    assert again.artifact == candidate().artifact
    assert train_classes(labelled(), ClassParams(n_trees=20, seed=1)).description.version != again.description.version


def test_a_loaded_model_tells_what_the_trained_one_did() -> None:
    scorer = load(candidate().artifact)
    assert scorer.classes == ("moving", "resting")
    held_out = labelled().take(labelled().held_out)
    told = np.array(scorer.classes)[scorer.score_matrix(held_out.matrix).argmax(axis=1)]
    assert (told == held_out.label).mean() > 0.9


@pytest.mark.parametrize("keep", [0, 10, 1_000, -30])
def test_a_cut_file_is_refused(keep: int) -> None:
    with pytest.raises(ModelRefused, match="^corrupt"):
        load(candidate().artifact[:keep])


def test_another_file_than_published_is_refused() -> None:
    with pytest.raises(ModelRefused, match="^wrong_sha256"):
        load_class_scorer(released(candidate()), lambda _path: candidate().artifact + b" ")


def test_pickled_arrays_are_refused_and_never_run() -> None:
    trap = np.empty(1, dtype=object)
    trap[0] = {"a": "pickle"}
    assert pickle.loads(pickle.dumps(trap[0])) == {"a": "pickle"}
    with pytest.raises(ModelRefused, match="^corrupt: left"):
        load(with_member("left.npy", npy(trap, allow_pickle=True)))


@pytest.mark.parametrize(
    ("name", "place", "value", "reason"),
    [
        ("left", 0, 10_000_000, "not_a_forest"),
        ("left", 0, 0, "not_a_forest"),
        ("right", 0, -7, "not_a_forest"),
        ("feature", 0, 5_000, "foreign_schema"),
        ("threshold", 0, np.nan, "not_a_forest"),
        ("sizes", 0, 0, "not_a_forest"),
        ("sizes", 0, 3, "not_a_forest"),
        ("shares", (0, 0), np.nan, "nan_output"),
        ("shares", (0, 0), 7.0, "nan_output"),
    ],
)
def test_a_forged_tree_is_refused_before_a_row_meets_it(name: str, place: Any, value: float, reason: str) -> None:
    forged = member(name).copy()
    forged[place] = value
    with pytest.raises(ModelRefused, match=f"^{reason}"):
        load(with_member(f"{name}.npy", npy(forged)))


def test_arrays_of_other_types_and_shapes_are_refused() -> None:
    with pytest.raises(ModelRefused, match="^foreign_types: left"):
        load(with_member("left.npy", npy(member("left").astype(np.int64))))
    with pytest.raises(ModelRefused, match="^not_a_forest"):
        load(with_member("left.npy", npy(member("left")[None, :])))
    with pytest.raises(ModelRefused, match="^not_a_forest: not one row"):
        load(with_member("shares.npy", npy(member("shares")[1:])))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"feature_version": "0"}, "foreign_features"),
        ({"features": SPAN_FEATURES[::-1]}, "foreign_schema: the file's columns"),
        ({"version": "another"}, "foreign_schema: the release says"),
        ({"stand_in": (1.0,)}, "foreign_schema: not one finite stand-in"),
        ({"classes": ("a", "a")}, "foreign_schema: 2 classes"),
        ({"classes": ("a", "b", "c")}, "foreign_schema: 3 classes"),
        ({"probe_probabilities": ((0.5, 0.5),) * 32}, "wrong_scores"),
        ({"probe": (), "probe_probabilities": ()}, "wrong_scores"),
        ({"format": "another"}, "foreign_schema: this code reads"),
    ],
)
def test_a_foreign_description_is_refused(changes: dict[str, Any], reason: str) -> None:
    forest = read_class_artifact(candidate().artifact, candidate().sha256)[1]
    with pytest.raises(ModelRefused, match=f"^{reason}"):
        load(write_class_artifact(replace(candidate().description, **changes), forest))


def test_a_model_too_slow_to_be_of_use_is_refused() -> None:
    ticks = iter(np.arange(0.0, 1000.0, 20.0))
    with pytest.raises(ModelRefused, match="^too_slow: 20000 us per window"):
        load_class_scorer(released(candidate()), lambda _path: candidate().artifact, clock=lambda: float(next(ticks)))


def test_a_usual_model_costs_far_less_than_the_gate_allows() -> None:
    scorer = load(candidate().artifact)
    assert relative_cost(scorer.score_matrix, scorer.description.probe_matrix()) < MOST_COST / 5


def test_a_description_that_is_no_json_is_refused() -> None:
    with pytest.raises(ModelRefused, match="^corrupt: wearables-model.json"):
        load(with_member("wearables-model.json", json.dumps({"format": "x"}).encode()[:-3]))


def test_a_span_ends_at_a_hole_at_another_device_and_at_a_window_with_little_in_it() -> None:
    """..x.. with x another second: its neighbours' means change, those beyond a hole do not."""
    rows = draw_windows(seed=1, people=2, per_person=10)
    rows.start_us[6:10] += 5 * WINDOW_US  # a hole between the sixth and the seventh second of the first device
    rows.features["coverage"][12] = 0.1  # the third second of the second device
    changed = draw_windows(seed=1, people=2, per_person=10)
    changed.start_us[:], changed.features["coverage"] = rows.start_us, rows["coverage"]
    for at in (5, 11):
        changed.features["enmo_mg"][at] += 100.0
    before, usable = span_matrix(rows)
    after, _ = span_matrix(changed)
    assert usable.tolist() == [at != 12 for at in range(20)]
    differs = (before[usable] != after[usable]).any(axis=1)
    assert np.flatnonzero(usable)[differs].tolist() == [3, 4, 5, 10, 11]


def test_a_windows_inputs_are_its_own_bits() -> None:
    whole = span_matrix(ROWS)[0]
    for begin, end in ((0, 5), (PER_PERSON, PER_PERSON + 40)):
        part = span_matrix(ROWS.take(np.arange(begin, end)))[0]
        assert np.array_equal(part[: end - begin - 2], whole[begin : end - 2], equal_nan=True)


def test_smoothing_leans_on_the_neighbours_within_a_stretch() -> None:
    probability = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.5, 0.5]])
    stretches = Stretches.of(np.array([0, 0, 0, 1], np.int32), np.arange(4) * WINDOW_US)
    assert smoothed(probability, stretches)[:, 0].tolist() == pytest.approx([0.8, 2 / 6, 0.8, 0.5])


def test_who_tells_is_the_version_in_force_at_a_windows_start() -> None:
    """Nobody before second 10, one version until 50, the next until 90, and again nobody."""
    first, second = load(candidate().artifact), load(candidate().artifact)
    changes = tuple(DAY_US + at * WINDOW_US for at in (10, 50, 90))
    version, told = ClassTimeline(changes, (first, second, None)).tell(ROWS)
    seconds = (ROWS.start_us - DAY_US) // WINDOW_US
    assert version.tolist() == np.select([seconds < 10, seconds < 50, seconds < 90], [-1, 0, 1], -1).tolist()
    assert (told.number >= 0).tolist() == (version >= 0).tolist()
    whole = first.tell(ROWS)
    assert np.array_equal(told.confidence[version >= 0], whole.confidence[version >= 0])


def test_a_label_counts_where_it_covers_half_a_window_and_the_last_said_wins() -> None:
    """Windows 0..5; a person says 0.5 to 3.4, then a device is said to do something else from 2.0 to 2.5."""
    start_us = np.arange(6, dtype=np.int64) * WINDOW_US
    device, person = np.array(["w"] * 6), np.array(["p"] * 5 + ["q"])
    labels = [
        Label("p", None, "walking", 500_000, 3_400_000, "me"),
        Label(None, "w", "falling", 2_000_000, 2_500_000, "a nurse"),
        Label(None, "w", "too_short", 4_000_000, 4_400_000, "a nurse"),
        Label("p", None, "running", 5_000_000, 6_000_000, "me"),
    ]
    label, said_by = label_windows(device, person, start_us, labels)
    assert label.tolist() == ["walking", "walking", "falling", "", "", ""]
    assert said_by.tolist()[2] == "a nurse"
    swapped, _ = label_windows(device, person, start_us, [labels[1], labels[0]])
    assert swapped.tolist()[2] == "walking"


def test_an_activity_of_too_few_people_is_left_out_and_named() -> None:
    wears = worn_by_one_each(PEOPLE)
    rare = [Label(person_of(device_ids(PEOPLE)[0]), None, "juggling", DAY_US, DAY_US + 9_000_000, "me")]
    found = assemble_classes(ROWS, device_ids(PEOPLE), wears, [*labels_by_the_minute(), *rare], FEATURE_VERSION)
    assert found.classes == ("moving", "resting")
    assert found.left_out == (("juggling", 9),)
    assert ClassSet.from_table(found.to_table()).sha256 == found.sha256


def test_windows_of_people_nobody_knows_are_in_no_set() -> None:
    wears = worn_by_one_each(PEOPLE)[1:]
    found = assemble_classes(ROWS, device_ids(PEOPLE), wears, labels_by_the_minute(), FEATURE_VERSION)
    assert device_ids(PEOPLE)[0] not in found.device_id.tolist()


def test_figures_are_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    done, told = rng.integers(0, 4, 500), rng.integers(0, 4, 500)
    person = np.array(["a", "b"])[rng.integers(0, 2, 500)]
    judged = judge_classes(("w", "x", "y", "z"), done, told, person)
    assert judged.accuracy == pytest.approx(accuracy_score(done, told))
    assert judged.macro_f1 == pytest.approx(f1_score(done, told, average="macro"))
    precision, recall, f1, count = precision_recall_fscore_support(done, told)
    for number, figures in enumerate(judged.by_class.values()):
        assert (figures.precision, figures.recall, figures.f1, figures.windows) == pytest.approx(
            (precision[number], recall[number], f1[number], count[number])
        )
    mine = person == "a"
    assert judged.accuracy_by_person["a"] == pytest.approx(accuracy_score(done[mine], told[mine]))


def test_the_gate_refuses_a_worse_one_one_that_guesses_and_one_nobody_can_judge() -> None:
    good = load(candidate().artifact)
    stump = train_classes(labelled(), ClassParams(n_trees=1, min_leaf=300))
    weak = load_class_scorer(released(stump), lambda _path: stump.artifact)
    nobody: frozenset[str] = frozenset()
    assert decide_classes(good, weak, labelled(), trained_on=nobody, known=Known()).passed
    refused = decide_classes(weak, good, labelled(), trained_on=nobody, known=Known()).refusals
    assert any(reason.startswith("worse_macro_f1") for reason in refused)
    alone = decide_classes(weak, None, labelled(), trained_on=nobody, known=Known()).refusals
    assert any(reason.startswith("macro_f1") for reason in alone)
    everyone = frozenset(labelled().people)
    unjudged = decide_classes(good, None, labelled(), trained_on=everyone, known=Known()).refusals
    assert unjudged[0].startswith("no_held_out_people")
    judges = labelled().take(labelled().held_out).people
    one = frozenset(labelled().people) - {judges[0]}
    alone = decide_classes(good, None, labelled(), trained_on=one, known=Known()).refusals
    assert alone == ("too_few_held_out_people: 1 unknown to both versions, 2 needed",)


def test_two_versions_are_compared_on_windows_nobody_labelled() -> None:
    good = load(candidate().artifact)
    other = replace(good, description=replace(good.description, classes=("moving", "sitting")))
    rows = ROWS
    newest = Newest("2025-03-30", rows, np.arange(len(rows)) % 2 == 0)
    told = good.tell(rows).number[newest.unlabelled]
    resting = int((told == 1).sum())
    assert resting > 0
    assert retell(good, other, newest) == Retold(
        "2025-03-30", int((told >= 0).sum()), resting, {"resting > sitting": resting}
    )
    assert retell(good, good, newest).changed == 0
    assert retell(good, other, Newest(None, WindowRows.none(), np.zeros(0, np.bool_))) == Retold(None, 0, 0)


def test_better_overall_is_no_excuse_for_a_slice() -> None:
    person = np.array(["a"] * 100)
    done = np.arange(100) % 2
    right = judge_classes(("x", "y"), done, done, person)
    wrong = judge_classes(("x", "y"), done, np.where(np.arange(100) < 10, 1 - done, done), person)
    assert worse_in_class_slices({"age 70+": (wrong, right), "age 30-39": (right, wrong)})[0].startswith(
        "worse_in_slice: age 70+"
    )
    assert worse_in_class_slices({"age 70+": (right, right), "rate 50 Hz": (right, None)}) == []


def test_a_refused_version_leaves_the_one_before_in_force_and_no_version_ends_all() -> None:
    good, bad, none = released(candidate()), released(candidate()), ModelRelease(name="activity_class")
    good.effective_from_us, bad.effective_from_us, none.effective_from_us = 10, 20, 30
    bad.version = "another"
    timeline, refusals = load_class_timeline([none, bad, good], lambda _path: candidate().artifact)
    assert timeline.from_us == (10, 30)
    assert timeline.scorers[1] is None
    assert refusals["another"].startswith("foreign_schema")


def test_a_number_that_does_not_exist_is_told_as_the_training_median() -> None:
    scorer = load(candidate().artifact)
    matrix = labelled().matrix[:40].copy()
    matrix[np.random.default_rng(1).random(matrix.shape) < 0.3] = np.nan
    assert np.array_equal(scorer.score_matrix(matrix), scorer.score_matrix(imputed(matrix, scorer.stand_in)))
