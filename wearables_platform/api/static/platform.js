// The platform itself: what each stage has counted, what lags, which models score.

import { Poll } from "./request.js";
import { moment, number, span, tableRow } from "./words.js";

const MODELS_EVERY_MS = 30_000;
const OUTCOMES = ["stored", "duplicate", "quarantined", "dead_lettered"];
const STATE_MEANS = {
  in_force: "scores every window", shadow: "scores beside the one in force; nobody sees its scores",
  candidate: "trained, not judged yet", refused: "was no better, and never scored",
  retired: "was replaced by a newer one", rolled_back: "was taken back",
};
const $ = (id) => document.getElementById(id);

export class PlatformView {
  constructor() {
    this.models = new Poll((signal) => this.#readModels(signal), MODELS_EVERY_MS, (problem) => {
      $("models-problem").textContent = problem && `Could not be read: ${problem}.`;
    });
  }

  show(api, _name, { fleet, platform }) {
    Object.assign(this, { api, fleet });
    this.models.start();
    this.state(platform);
    this.fleetMoved();
  }

  hide() {
    this.models.stop();
  }

  /** Take a `platform` event. */
  state({ stages }) {
    const lines = new Map();
    for (const { consumer, topic, outcome, messages } of stages) {
      const key = `${consumer}\n${topic}`;
      lines.set(key, { ...lines.get(key), [outcome]: messages });
    }
    $("stages-empty").hidden = lines.size > 0;
    $("stages").tBodies[0].replaceChildren(...[...lines].map(([key, counts]) => {
      const [consumer, topic] = key.split("\n");
      const read = OUTCOMES.reduce((sum, outcome) => sum + (counts[outcome] ?? 0), 0);
      return tableRow(topic, consumer, ...[read, ...OUTCOMES.map((outcome) => counts[outcome] ?? 0)].map((count) => number(count, 0)));
    }));
  }

  /** How far what arrives is behind: of the devices that are live, from measured to logged, and since the newest message. */
  fleetMoved() {
    const live = [...this.fleet.rows.values()].filter((row) => row.freshness === "live" && row.received_time_ms);
    const delays = live.map((row) => row.received_time_ms - row.event_time_ms).sort((a, b) => a - b);
    const ages = live.map((row) => this.fleet.now - row.received_time_ms).sort((a, b) => a - b);
    const told = (values, share) => (values.length ? shortSpan(values[Math.min(values.length - 1, Math.floor(share * values.length))]) : "–");
    $("lag-devices").textContent = number(live.length, 0);
    $("lag-delay").textContent = `${told(delays, 0.5)}, ${told(delays, 0.95)}`;
    $("lag-age").textContent = `${told(ages, 0.5)}, ${told(ages, 0.95)}`;
  }

  async #readModels(signal) {
    const { items, live } = await this.api.get("/models", {}, signal);
    const now = this.fleet.now;
    $("models-empty").hidden = items.length > 0;
    $("models").tBodies[0].replaceChildren(...items.map((model) => {
      const loaded = live[model.name]?.version === model.version ? "loaded by the stream" : "";
      const means = STATE_MEANS[model.state] ?? "";
      const row = tableRow(
        model.name, model.version, `${model.state.replace("_", " ")}${means && `: ${means}`}`, loaded,
        number(model.metrics.alarm_threshold, 2), model.effective_from ? moment(model.effective_from, now) : "–",
        number(model.training_people, 0),
      );
      row.dataset.state = model.state;
      return row;
    }));
  }
}

function shortSpan(ms) {
  return Math.abs(ms) < 1000 ? `${Math.round(ms)} ms` : span(ms / 1000);
}
