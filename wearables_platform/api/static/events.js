// Events: what was found, when, and what that means.

import { clock, day, number } from "./words.js";

/** What each kind means, in a sentence; docs/signals.md has the rules. */
export const KINDS = {
  spike: "A sudden movement: acceleration rose far above what it was and fell back.",
  stuck_sensor: "The sensor repeated one exact value for nearly a minute or more.",
  rate_drift: "Samples came over 2 % faster or slower than the device states.",
  implausible_heart_rate: "A heart rate no heart has, or a jump of over 30 /min in a second.",
  high_heart_rate_at_rest: "Heart rate over 100 /min after ten minutes at rest.",
  heart_rate_locked_to_cadence: "Heart rate equals steps per minute: the sensor may count steps instead of beats.",
  unusual_enmo: "Movement (ENMO) left the limits of the hour so far. An observation, not an alarm.",
  unusual_mad: "Movement (MAD) far from the last quarter of an hour. An observation, not an alarm.",
  not_worn: "So still that the device was probably not worn.",
  silent_sensor: "No newer movement data arrived for a minute or more.",
};

/** The same event, whether it goes on or is over. */
export function sameEvent(event) {
  return `${event.device_id} ${event.kind} ${event.started_at ?? event.id}`;
}

export function eventLabel(event) {
  return `${event.kind} ${size(event)}`.trim();
}

function size(event) {
  if (event.peak_g !== null) return `${number(event.peak_g, 1)} g`;
  if (event.extreme_value === null) return "";
  return `${number(event.extreme_value, 1)} ${{ "m[g]": "mg", "/min": "/min" }[event.extreme_unit] ?? event.extreme_unit ?? ""}`.trim();
}

// When it began, and when it ended: seconds within a minute say nothing new.
function lifetime(event, now) {
  const today = day(event.started_at) === day(now);
  const begin = `${today ? "" : `${day(event.started_at)} `}${clock(event.started_at).slice(0, 10)}`;
  if (event.provisional && event.extreme_value !== null) return `${begin} UTC, going on`;
  const lasted = (event.duration_ms ?? 0) >= 60_000 && event.ended_at;
  return lasted ? `${begin} to ${clock(event.ended_at).slice(0, 8)} UTC` : `${begin} UTC`;
}

/** An item of a list of events; with `explained` its meaning instead of whose it is. */
export function eventItem(event, now, { explained = false } = {}) {
  const item = document.createElement("li");
  item.innerHTML = '<span class="tag"></span><a class="who"></a><span class="peak"></span><time></time>';
  item.dataset.severity = event.severity ?? "info";
  const [tag, who, peak, time] = item.children;
  tag.textContent = event.kind;
  tag.title = KINDS[event.kind] ?? "";
  who.textContent = event.device_id;
  who.href = `#/device/${encodeURIComponent(event.device_id)}`;
  peak.textContent = [size(event), event.severity === "info" ? "" : event.severity].filter(Boolean).join(", ");
  if (event.started_at) {
    time.dateTime = time.title = event.started_at;
    time.textContent = lifetime(event, now);
  }
  if (explained) {
    who.remove();
    const meaning = document.createElement("span");
    meaning.className = "meaning";
    meaning.textContent = KINDS[event.kind] ?? "A kind this page does not know.";
    item.append(meaning);
  }
  return item;
}
