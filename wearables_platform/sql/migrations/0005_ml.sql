-- depends: 0004_quality
-- Published model versions: what they were trained on, how they did, whether they may score.

CREATE TABLE ml.model_versions (
    name text NOT NULL,
    version text NOT NULL,
    state text NOT NULL CHECK (state IN ('candidate', 'published', 'refused', 'retired')),
    sha256 text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    lake_path text NOT NULL,
    feature_version text NOT NULL,
    code_version text NOT NULL,
    trained_at timestamptz NOT NULL,
    effective_from timestamptz,
    training_days text NOT NULL,
    training_people text[] NOT NULL,
    metrics jsonb NOT NULL,
    refusal text,
    signature text NOT NULL,
    PRIMARY KEY (name, version)
);
