"""A model file is byte-equal for equal models, and nothing that is not one is ever loaded."""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import IsolationForest, RandomForestRegressor

from wearables_platform.clients.lake import open_lake
from wearables_platform.errors import ModelRefused, StoreRefused
from wearables_platform.models import archives, artifacts
from wearables_platform.models.artifacts import ModelDescription, write_artifact
from wearables_platform.models.inputs import MODEL_FEATURES
from wearables_platform.models.predict import MOST_COST, load_scorer
from wearables_platform.models.releases import release_of
from wearables_platform.models.speed import relative_cost
from wearables_platform.models.train import Candidate, train
from wearables_platform.wire.v1.telemetry_pb2 import ModelRelease
from wearables_platform_tests.model_windows import draw_training_set, draw_windows


@pytest.fixture(scope="module")
def candidate() -> Candidate:
    return train(draw_training_set(1))


@pytest.fixture(scope="module")
def forest(candidate: Candidate) -> IsolationForest:
    return artifacts.read_artifact(candidate.artifact, candidate.sha256)[1]


def load(artifact: bytes, release: ModelRelease) -> Any:
    return load_scorer(release, lambda _path: artifact)


def released(candidate: Candidate, artifact: bytes | None = None) -> ModelRelease:
    """The release that vouches for `artifact`, so that only the later checks stand in its way."""
    release = release_of(candidate, 0)
    release.sha256 = hashlib.sha256(artifact or candidate.artifact).hexdigest()
    return release


def with_description(candidate: Candidate, forest: Any, **changes: Any) -> bytes:
    return write_artifact(replace(candidate.description, **changes), forest)


def with_member(artifact: bytes, member: str, data: bytes) -> bytes:
    source, target = zipfile.ZipFile(io.BytesIO(artifact)), io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            archive.writestr(name, data if name == member else source.read(name))
    return target.getvalue()


def test_a_good_model_loads_and_scores(candidate: Candidate) -> None:
    scorer = load(candidate.artifact, released(candidate))
    scores = scorer.score(draw_windows(seed=2, people=1, per_person=50))
    assert scorer.version == candidate.description.version
    assert ((scores > 0) & (scores <= 1)).all()
    assert scores[49] > np.median(scores[:49])  # the fiftieth window holds a spike


def test_training_again_gives_the_same_bytes_in_another_process(candidate: Candidate) -> None:
    code = (
        "from wearables_platform.models.train import train\n"
        "from wearables_platform_tests.model_windows import draw_training_set\n"
        "ballast = [object() for _ in range(9999)]\n"
        "draw_training_set(2)\n"
        "c = train(draw_training_set(1)); print(c.sha256, c.description.version)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert answer.stdout.split() == [candidate.sha256, candidate.description.version]


def test_other_data_or_another_seed_is_another_version(candidate: Candidate) -> None:
    from wearables_platform.models.train import ForestParams

    other_data = train(draw_training_set(2)).description.version
    other_seed = train(draw_training_set(1), ForestParams(seed=1)).description.version
    assert len({candidate.description.version, other_data, other_seed}) == 3


def test_skops_itself_reads_the_file(candidate: Candidate, forest: IsolationForest) -> None:
    loaded = skops.io.loads(candidate.artifact, trusted=list(artifacts.REVIEWED_TYPES))
    matrix = draw_training_set(3).matrix[:20]
    assert np.array_equal(loaded.score_samples(matrix), forest.score_samples(matrix))


def test_one_flipped_byte_is_refused(candidate: Candidate) -> None:
    broken = bytearray(candidate.artifact)
    broken[len(broken) // 2] ^= 1
    with pytest.raises(ModelRefused, match="^wrong_sha256"):
        load(bytes(broken), released(candidate))


@pytest.mark.parametrize("keep", [0, 10, 1_000, -30], ids=["empty", "head", "some", "tail missing"])
def test_a_cut_file_is_refused(candidate: Candidate, keep: int) -> None:
    cut = candidate.artifact[:keep]
    release = released(candidate)
    release.sha256 = hashlib.sha256(cut).hexdigest()
    with pytest.raises(ModelRefused, match="^corrupt"):
        load(cut, release)


@pytest.mark.parametrize(
    ("place", "data"),
    [("member", b"\xff" * 100), ("flags", b"\x01"), ("method", b"\x63")],
    ids=["does not inflate", "says it is encrypted", "a method nobody knows"],
)
def test_an_archive_that_cannot_be_unpacked_is_refused(candidate: Candidate, place: str, data: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(candidate.artifact)) as archive:
        first, directory = archive.infolist()[0], archive.start_dir
    at = {"member": first.header_offset + 30 + len(first.filename), "flags": directory + 8, "method": directory + 10}
    broken = bytearray(candidate.artifact)
    broken[at[place] : at[place] + len(data)] = data
    with pytest.raises(ModelRefused, match="^corrupt"):
        load(bytes(broken), released(candidate, bytes(broken)))


def test_a_forest_that_lacks_what_a_forest_has_is_refused(candidate: Candidate, forest: IsolationForest) -> None:
    for missing in ("estimators_", "max_samples_"):
        bare = skops.io.loads(skops.io.dumps(forest), trusted=list(artifacts.REVIEWED_TYPES))
        delattr(bare, missing)
        artifact = write_artifact(candidate.description, bare)
        with pytest.raises(ModelRefused, match="^(not_a_forest|corrupt)"):
            load(artifact, released(candidate, artifact))


def test_a_member_that_is_no_array_is_refused(candidate: Candidate) -> None:
    broken = with_member(candidate.artifact, "000005.npy", b"not an array")
    with pytest.raises(ModelRefused, match="^corrupt"):
        load(broken, released(candidate, broken))


def test_pickles_are_refused_and_never_run(candidate: Candidate, forest: IsolationForest) -> None:
    bare = pickle.dumps(Trap())
    pickle.loads(bare)
    assert SPRUNG.pop() == "opened"  # the trap works
    with pytest.raises(ModelRefused, match="^corrupt"):
        load(bare, released(candidate, bare))
    inside = with_member(candidate.artifact, "000005.npy", object_array_bytes(Trap()))
    with pytest.raises(ModelRefused, match="^corrupt"):
        load(inside, released(candidate, inside))
    assert not SPRUNG


SPRUNG: list[str] = []


def spring(how: str) -> None:
    SPRUNG.append(how)


class Trap:
    """Opening a pickle of it runs `spring`."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return spring, ("opened",)


def object_array_bytes(inside: object) -> bytes:
    buffer = io.BytesIO()
    array = np.empty(1, dtype=object)
    array[0] = inside
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def test_a_type_not_on_the_list_is_refused_before_it_is_built(candidate: Candidate) -> None:
    other = RandomForestRegressor(2, random_state=0).fit([[0.0], [1.0]], [0.0, 1.0])
    artifact = write_artifact(candidate.description, other)
    with pytest.raises(ModelRefused, match="^foreign_types: sklearn"):
        load(artifact, released(candidate, artifact))


def test_a_member_naming_code_is_refused(candidate: Candidate) -> None:
    schema = json.loads(zipfile.ZipFile(io.BytesIO(candidate.artifact)).read("schema.json"))
    schema |= {"__class__": "system", "__module__": "os", "__loader__": "TypeNode"}
    artifact = with_member(candidate.artifact, "schema.json", json.dumps(schema).encode())
    with pytest.raises(ModelRefused, match=r"^foreign_types: os\.system"):
        load(artifact, released(candidate, artifact))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"sklearn_version": "1.0.2"}, "other_sklearn: trained with 1.0.2"),
        ({"feature_version": "0"}, "foreign_features"),
        ({"features": MODEL_FEATURES[::-1]}, "foreign_schema: the file's columns"),
        ({"features": MODEL_FEATURES[:3], "stand_in": (1.0, 1.0, 1.0)}, "foreign_schema: the file's columns"),
        ({"version": "another"}, "foreign_schema: the release says"),
        ({"stand_in": (1.0,)}, "foreign_schema: not one finite stand-in"),
        ({"probe_scores": (0.5,) * 64}, "wrong_scores"),
        ({"probe": (), "probe_scores": ()}, "wrong_scores"),
        ({"alarm_threshold": None}, "foreign_schema: None is no number"),
        ({"alarm_threshold": "0.5"}, "foreign_schema: '0.5' is no number"),
        ({"stand_in": (10**400,)}, "foreign_schema: int too large"),
        ({"format": 99}, "foreign_schema: this code reads model format 1"),
    ],
)
def test_a_foreign_description_is_refused(
    candidate: Candidate, forest: IsolationForest, changes: dict[str, Any], reason: str
) -> None:
    artifact = with_description(candidate, forest, **changes)
    with pytest.raises(ModelRefused, match=f"^{reason}"):
        load(artifact, released(candidate, artifact))


def test_a_release_for_other_features_is_refused(candidate: Candidate) -> None:
    release = released(candidate)
    release.feature_version = "0"
    with pytest.raises(ModelRefused, match="^foreign_features"):
        load(candidate.artifact, release)


def test_a_file_without_a_description_is_refused(candidate: Candidate, forest: IsolationForest) -> None:
    bare = skops.io.dumps(forest)
    with pytest.raises(ModelRefused, match="^foreign_schema: the file has no wearables-model.json"):
        load(bare, released(candidate, bare))


@pytest.mark.parametrize(
    ("field", "value"),
    [("left_child", 10_000_000), ("right_child", -7), ("left_child", 0), ("feature", 5_000), ("threshold", np.nan)],
    ids=["child far outside", "child negative", "a loop", "column outside", "no threshold"],
)
def test_a_forged_tree_is_refused_before_a_row_meets_it(
    candidate: Candidate, forest: IsolationForest, field: str, value: float
) -> None:
    tree = skops.io.loads(skops.io.dumps(forest), trusted=list(artifacts.REVIEWED_TYPES))
    state = tree.estimators_[3].tree_.__getstate__()
    state["nodes"] = state["nodes"].copy()
    state["nodes"][field][0] = value
    tree.estimators_[3].tree_.__setstate__(state)
    artifact = write_artifact(candidate.description, tree)
    with pytest.raises(ModelRefused, match="^(not_a_forest|foreign_schema)"):
        load(artifact, released(candidate, artifact))


def test_a_file_that_unpacks_to_too_much_is_refused(candidate: Candidate, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(artifacts.MAX_BYTES + 1))
    assert len(bomb.getvalue()) < 100_000
    with pytest.raises(ModelRefused, match="^too_large"):
        load(bomb.getvalue(), released(candidate, bomb.getvalue()))


def test_a_file_larger_than_any_model_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lake = open_lake(tmp_path.as_uri())
    with (tmp_path / "huge").open("wb") as huge:
        huge.truncate(1 << 40)  # a terabyte of nothing: whoever read it whole would have no memory left
    with pytest.raises(ModelRefused, match="^too_large: huge"):
        archives.files_of(lake)("huge")
    with pytest.raises(StoreRefused, match="the lake holds no other"):
        archives.files_of(lake)("other")
    lake.put("small", b"a model")
    assert archives.files_of(lake)("small") == b"a model"


def test_a_busy_machine_refuses_no_model(candidate: Candidate) -> None:
    ticks = iter(np.arange(0.0, 100.0, 2.0))  # every turn of a thousand windows takes two seconds
    load_scorer(released(candidate), lambda _path: candidate.artifact, clock=lambda: float(next(ticks)))


def test_a_model_too_slow_to_be_of_use_is_refused(candidate: Candidate) -> None:
    ticks = iter(np.arange(0.0, 1000.0, 20.0))
    with pytest.raises(ModelRefused, match="^too_slow: 20000 us per window"):
        load_scorer(released(candidate), lambda _path: candidate.artifact, clock=lambda: float(next(ticks)))


def test_a_usual_model_costs_far_less_than_the_gate_allows(candidate: Candidate) -> None:
    scorer = load(candidate.artifact, released(candidate))
    assert relative_cost(scorer.score_matrix, scorer.description.probe_matrix()) < MOST_COST / 5


def test_numbers_that_are_none_are_refused(candidate: Candidate) -> None:
    scorer = load(candidate.artifact, released(candidate))
    poisoned = replace(scorer.forest, path_length=np.full_like(scorer.forest.path_length, np.nan))
    with pytest.raises(ModelRefused, match="^nan_output"):
        replace(scorer, forest=poisoned).score_matrix(scorer.description.probe_matrix())


def test_a_score_that_is_none_in_the_stream_is_no_reason_to_stop(candidate: Candidate) -> None:
    scorer = load(candidate.artifact, released(candidate))
    poisoned = replace(scorer.forest, path_length=np.full_like(scorer.forest.path_length, -np.inf))
    assert np.isnan(replace(scorer, forest=poisoned).score(draw_windows(seed=2, people=1, per_person=5))).all()


def test_windows_with_little_in_them_have_no_score(candidate: Candidate) -> None:
    rows = draw_windows(seed=2, people=1, per_person=5)
    rows.features["coverage"][1] = 0.49
    rows.features["vm_mean_g"][3] = np.nan
    scores = load(candidate.artifact, released(candidate)).score(rows)
    assert np.isnan(scores).tolist() == [False, True, False, True, False]


def test_the_description_survives_the_file(candidate: Candidate) -> None:
    described, _ = artifacts.read_artifact(candidate.artifact, candidate.sha256)
    assert described == candidate.description
    assert isinstance(described, ModelDescription)
