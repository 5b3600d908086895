// One person: their local days, with what is not final said as such.

import { Poll } from "./request.js";
import { number, shareBar, tableRow } from "./words.js";

const EVERY_MS = 60_000;
const $ = (id) => document.getElementById(id);

export class ParticipantView {
  constructor() {
    this.days = new Poll((signal) => this.#read(signal), EVERY_MS, (problem) => {
      $("participant-problem").textContent = problem && `Could not be read: ${problem}.`;
    });
  }

  show(api, name, { fleet }) {
    Object.assign(this, { api, name, path: `/participants/${encodeURIComponent(name)}` });
    $("participant-title").textContent = name;
    $("participant-days").replaceChildren();
    $("participant-zone").textContent = "";
    this.enrolled(fleet);
    this.days.start();
  }

  /** Who wears what has been read. */
  enrolled(fleet) {
    const worn = [...fleet.enrolled.values()].filter((device) => device.participant_id === this.name);
    $("participant-devices").replaceChildren(...worn.flatMap(({ device_id: device }, place) => {
      const link = Object.assign(document.createElement("a"), { textContent: device, href: `#/device/${encodeURIComponent(device)}` });
      return place ? [", ", link] : ["wears ", link];
    }));
  }

  hide() {
    this.days.stop();
  }

  async #read(signal) {
    const daily = (what) => this.api.get(`${this.path}/${what}/daily`, {}, signal);
    const [steps, heart, activity] = await Promise.all(["steps", "heart-rate", "activity"].map(daily));
    $("participant-zone").textContent = `Local days in ${steps.time_zone}, newest first.`;
    const by = (items) => new Map(items.map((item) => [item.local_day, item]));
    const [hearts, activities] = [by(heart.items), by(activity.items)];
    const rows = steps.items.toReversed().map((day) => dayRow(day, hearts.get(day.local_day), activities.get(day.local_day)));
    $("participant-days").replaceChildren(...rows);
  }
}

function dayRow(steps, heart = {}, activity = {}) {
  const minutes = (seconds) => (seconds === null || seconds === undefined ? "–" : number(seconds / 60, 0));
  const length = steps.hours_in_day === 24 ? "" : ` (${steps.hours_in_day} h)`;
  const row = tableRow(
    steps.local_day + length, number(steps.step_count, 0), shareBar(steps.coverage),
    number(heart.mean_bpm, 0), number(heart.resting_bpm, 0), number(heart.readings, 0),
    minutes(activity.mvpa_s), minutes(activity.worn_s), statusOf(steps, heart, activity),
  );
  row.dataset.status = steps.status;
  return row;
}

// One word where all agree, otherwise each.
function statusOf(steps, heart, activity) {
  const said = { steps: steps.status, "heart rate": heart.status, activity: activity.status };
  if (new Set(Object.values(said)).size === 1) return steps.status;
  return Object.entries(said).map(([name, status]) => `${name} ${status ?? "missing"}`).join(", ");
}
