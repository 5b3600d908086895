-- name: add_study(study_id)!
-- Make sure a study exists.
INSERT INTO registry.studies (study_id, title) VALUES (:study_id, :study_id)
ON CONFLICT (study_id) DO NOTHING;

-- name: add_participant(participant_id, study_id, birth_year, sex, time_zone, registered_at)!
-- Add a participant; an existing one stays as it is.
INSERT INTO registry.participants (participant_id, study_id, birth_year, sex, time_zone, registered_at)
VALUES (:participant_id, :study_id, :birth_year, :sex, :time_zone, :registered_at)
ON CONFLICT (participant_id) DO NOTHING;

-- name: find_enrolled_participant(participant_id)^
-- What is known of a participant: study, birth year, sex, time zone.
SELECT study_id, birth_year, sex, time_zone
FROM registry.participants WHERE participant_id = :participant_id;

-- name: add_device(device_id, device_model, registered_at)!
-- Add a device; an existing one stays as it is.
INSERT INTO registry.devices (device_id, device_model, registered_at)
VALUES (:device_id, :device_model, :registered_at)
ON CONFLICT (device_id) DO NOTHING;

-- name: lock_device(device_id)^
-- Whether a device is enabled; its row is held until the transaction ends, so that its tokens have one writer at a time.
SELECT enabled FROM registry.devices WHERE device_id = :device_id FOR UPDATE;

-- name: find_wearer(device_id)$
-- Who wears a device now; nothing where nobody does.
SELECT participant_id FROM registry.assignments
WHERE device_id = :device_id AND valid_to = 'infinity';

-- name: add_assignment(device_id, participant_id, valid_from)!
-- A participant wears a device from an instant on.
INSERT INTO registry.assignments (device_id, participant_id, valid_from)
VALUES (:device_id, :participant_id, :valid_from);

-- name: end_assignment(valid_to, device_id)!
-- Whoever wears a device does so no longer.
UPDATE registry.assignments SET valid_to = :valid_to
WHERE device_id = :device_id AND valid_to = 'infinity';

-- name: find_credentials(device_id)
-- A device with its live tokens' digests, one row per token (one row with NULL where it has none), newest first.
SELECT device.device_id, device.registered_at, device.enabled, credential.token_sha256
FROM registry.devices AS device
LEFT JOIN registry.credentials AS credential
    ON credential.device_id = device.device_id AND credential.revoked_at IS NULL
WHERE device.device_id = :device_id
ORDER BY credential.created_at DESC, credential.token_sha256;

-- name: add_token(device_id, token_sha256, created_at)!
-- Let a device prove itself with one more token.
INSERT INTO registry.credentials (device_id, token_sha256, created_at)
VALUES (:device_id, :token_sha256, :created_at);

-- name: retire_tokens(revoked_at, device_id, keep)!
-- Revoke all live tokens of a device but the newest `keep`.
UPDATE registry.credentials SET revoked_at = :revoked_at
WHERE device_id = :device_id AND token_sha256 IN (
    SELECT token_sha256 FROM registry.credentials
    WHERE device_id = :device_id AND revoked_at IS NULL
    ORDER BY created_at DESC, token_sha256 OFFSET :keep
);

-- name: disable_device(device_id)!
-- Refuse a device's messages.
UPDATE registry.devices SET enabled = false WHERE device_id = :device_id;
