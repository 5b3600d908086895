"""Asking for a run again where it failed: a run key is used up by the run it starts, whatever becomes of that."""

from datetime import UTC, datetime, timedelta

import dagster as dg

FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(hours=1)
WHAT_FOR = "wearables/asked_for"
"""Tag of a run: what it was asked for, the same in every attempt."""


def request(
    instance: dg.DagsterInstance,
    job_name: str,
    what_for: str,
    *,
    now: datetime,
    run_config: dict[str, object] | None = None,
    because: str = "",
) -> dg.RunRequest | dg.SkipReason:
    """Ask for a run, each time it has failed once more, with pauses that double up to an hour.

    Nothing is asked for while one is under way or after one has succeeded.
    """
    runs = instance.get_run_records(dg.RunsFilter(job_name=job_name, tags={WHAT_FOR: what_for}))
    if any(one.dagster_run.status == dg.DagsterRunStatus.SUCCESS for one in runs):
        return dg.SkipReason(f"{what_for}: done already")
    if any(not one.dagster_run.is_finished for one in runs):
        return dg.SkipReason(f"{what_for}: a run is under way")
    if runs:
        ended = max(datetime.fromtimestamp(one.end_time or 0, UTC) for one in runs)
        next_at = ended + min(FIRST_PAUSE * 2 ** min(len(runs) - 1, 10), LONGEST_PAUSE)
        if now < next_at:
            return dg.SkipReason(f"{what_for}: failed {len(runs)} times, asked for again at {next_at:%H:%M:%S} UTC")
    return dg.RunRequest(
        run_key=f"{what_for}, attempt {len(runs) + 1}",
        job_name=job_name,
        run_config=run_config,
        tags={WHAT_FOR: what_for, **({"because": because} if because else {})},
    )
