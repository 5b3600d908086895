// One device: its moving trace, its features, what was found in them, how they were scored, how complete it is.

import { Chart } from "./chart.js";
import { eventItem, eventLabel, sameEvent } from "./events.js";
import { History } from "./history.js";
import { Poll } from "./request.js";
import { Trace } from "./trace.js";
import { ago, moment, number, percent, shareBar, span, tableRow } from "./words.js";

const FEATURES_MS = 10 * 60_000;
const FEATURES_EVERY_MS = 5_000;
const RECORD_EVERY_MS = 30_000;
const DAY_MS = 86_400_000;
const EVENTS_SHOWN = 100;
const CADENCE_S = 10; // steps per minute are counted over so many seconds
const DIGITS = { heart_rate_bpm: 0, vm_g: 2, enmo_mg: 1, battery_percent: 0, step_count: 0, rate_hz: 0, anomaly_score: 2 };
const $ = (id) => document.getElementById(id);

export class DeviceView {
  /** clock(): now by the server, ms. */
  constructor(clock) {
    this.clock = clock;
    this.trace = new Trace($("trace"));
    this.history = new History($("history"), clock);
    this.charts = {
      enmo: new Chart($("chart-enmo"), { name: "ENMO, last 10 minutes", unit: "mg", floor: 20 }),
      mad: new Chart($("chart-mad"), { name: "MAD, last 10 minutes", unit: "mg", floor: 20 }),
      cadence: new Chart($("chart-cadence"), { name: "Steps per minute, last 10 minutes", unit: "/min", floor: 60 }),
      score: new Chart($("chart-score"), { name: "Model score, last 10 minutes", unit: "", floor: 0.6 }),
    };
    this.features = new Poll((signal) => this.#readFeatures(signal), FEATURES_EVERY_MS, say("features-problem"));
    this.record = new Poll((signal) => this.#readRecord(signal), RECORD_EVERY_MS, say("record-problem"));
  }

  show(api, name, { fleet, events }) {
    Object.assign(this, { api, name, fleet, path: `/devices/${encodeURIComponent(name)}`, latest: null, stored: [] });
    $("device-title").textContent = name;
    for (const field of document.querySelectorAll("#now [data-field]")) field.textContent = "–";
    $("device-sensors").replaceChildren();
    this.trace.clear();
    this.trace.start();
    this.showEvents(events);
    this.fleetMoved();
    this.features.start();
    this.record.start();
    this.history.open(api, name);
  }

  hide() {
    this.trace.stop();
    this.features.stop();
    this.record.stop();
    this.history.close();
  }

  redraw() {
    Object.values(this.charts).forEach((chart) => chart.draw());
    this.history.redraw();
  }

  /** Take the newest values. */
  values(latest) {
    if (latest.device_id !== this.name) return;
    const rescored = this.latest?.model_version !== latest.model_version;
    this.latest = latest;
    if (rescored) this.record.start(); // whose threshold it is
    for (const field of document.querySelectorAll("#now [data-field]"))
      field.textContent = number(latest[field.dataset.field], DIGITS[field.dataset.field]);
    $("now-worn").textContent = { true: "yes", false: "no" }[latest.worn] ?? "–";
    const sensors = latest.sensors.map((one) =>
      tableRow(one.sensor, one.channel, `${number(one.value, 2)} ${one.unit}`, moment(one.time, this.clock())));
    $("device-sensors").replaceChildren(...sensors);
    $("sensors-panel").hidden = sensors.length === 0;
    this.fleetMoved();
  }

  addTrace({ device_id: device, restart, points }) {
    if (device === this.name) this.trace.add(points, restart);
  }

  /** The fleet's clock went on: what is old has become older. */
  fleetMoved() {
    const row = this.fleet.get(this.name);
    const state = row?.freshness ?? this.latest?.freshness ?? "never";
    const latest = this.latest;
    const heard = latest?.received_time ?? latest?.event_time;
    const silence = heard ? `silent: nothing for ${span((this.clock() - Date.parse(heard)) / 1000)}` : "nothing received yet";
    this.trace.stale = state === "silent" ? silence : null;
    $("view-device").dataset.freshness = state;
    $("device-state").dataset.state = state;
    $("device-mark").className = `mark ${state}`;
    $("device-state-text").textContent = { live: "live", late: "late", silent: silence }[state] ?? "never heard";
    $("device-measured").textContent = latest?.event_time
      ? `measured ${moment(latest.event_time, this.clock())}, ${ago(Date.parse(latest.event_time), this.clock())}` : "";
    this.#showWearer(row ?? {});
    const vm = latest && latest.vm_g !== null ? `now ${number(latest.vm_g, 2)} g` : "no samples yet";
    $("trace").setAttribute("aria-label", `Trace of the vector magnitude of ${this.name}: ${vm}, ${state}`);
  }

  /** events: what the live path said, newest first; what was stored is added. */
  showEvents(events) {
    this.said = events.filter((event) => event.device_id === this.name && event.started_at);
    const all = new Map([...this.stored, ...this.said].map((event) => [sameEvent(event), event]));
    const newest = [...all.values()].sort((a, b) => (a.started_at < b.started_at ? 1 : -1));
    this.trace.mark(newest.slice(0, 50).map((event) => ({ time_s: Date.parse(event.started_at) / 1000, label: eventLabel(event) })));
    $("device-events").replaceChildren(...newest.slice(0, EVENTS_SHOWN).map((event) => eventItem(event, this.clock(), { explained: true })));
    $("device-events-empty").hidden = newest.length > 0;
    const shown = newest.length > EVENTS_SHOWN ? `, the newest ${EVENTS_SHOWN} shown` : "";
    $("device-events-note").textContent = newest.length ? `${number(newest.length, 0)} in the last 24 hours${this.more ? ", or more" : ""}${shown}` : "";
  }

  #showWearer({ person, study, model }) {
    const link = $("device-person");
    link.hidden = !person;
    if (person && link.textContent !== person) {
      link.textContent = person;
      link.href = `#/participant/${encodeURIComponent(person)}`;
    }
    $("device-who").textContent = person ? "worn by" : "worn by nobody known";
    $("device-what").textContent = [study && `study ${study}`, model && `model ${model}`].filter(Boolean).join(", ");
  }

  async #readFeatures(signal) {
    // By event time: a replayed recording has its last ten minutes too.
    const to = this.latest?.window_start ? Date.parse(this.latest.window_start) + 1000 : this.clock();
    const asked = { from: new Date(to - FEATURES_MS).toISOString(), to: new Date(to).toISOString() };
    const { items } = await this.api.pages(`${this.path}/features`, asked, 1, signal);
    const range = { from: to - FEATURES_MS, to, gapMs: 2500 };
    const series = (value) => items.map((row) => [Date.parse(row.window_start), value(row)]).filter(([, y]) => y !== null && y !== undefined);
    this.charts.enmo.show(series((row) => row.enmo_mg), range);
    this.charts.mad.show(series((row) => row.mad_mg), range);
    this.charts.cadence.show(cadence(items), range);
    this.charts.score.show(series((row) => row.anomaly_score), { ...range, line: this.threshold ?? null });
    this.#showNewest(items.at(-1));
  }

  #showNewest(row) {
    const facts = row
      ? [
          ["MAD", `${number(row.mad_mg, 1)} mg`], ["strongest frequency", `${number(row.dominant_hz, 1)} Hz`],
          ["angle of z", `${number(row.angle_z_deg, 0)}°`], ["coverage of the second", percent(row.coverage)],
          ["glitches", number(row.glitches, 0)], ["row", row.provisional ? "provisional" : `final, revision ${row.revision}`],
        ]
      : [];
    $("newest-features").replaceChildren(...facts.map(fact));
  }

  async #readRecord(signal) {
    const now = this.clock();
    const [events, complete, models] = await Promise.all([
      this.api.pages(`${this.path}/anomalies`, { from: new Date(now - DAY_MS).toISOString(), to: new Date(now + DAY_MS).toISOString() }, 5, signal),
      this.api.get(`${this.path}/completeness`, { from: new Date(now - 13 * DAY_MS).toISOString().slice(0, 10) }, signal),
      this.api.get("/models", {}, signal),
    ]);
    Object.assign(this, { stored: events.items, more: events.more });
    this.showEvents(this.said);
    this.#showCompleteness(complete);
    this.#showModel(models.items.find((model) => model.version === this.latest?.model_version));
  }

  #showCompleteness({ items, gaps, gaps_truncated: cut }) {
    $("completeness").replaceChildren(...items.toReversed().map((row) =>
      tableRow(row.day, shareBar(row.share), number(row.gaps, 0), number(row.messages_missing, 0))));
    $("completeness-empty").hidden = items.length > 0;
    $("completeness-note").textContent = gaps.length ? `${number(gaps.length, 0)}${cut ? " or more" : ""} gaps in 14 days` : "";
  }

  #showModel(model) {
    this.threshold = model?.metrics?.alarm_threshold;
    const version = this.latest?.model_version;
    const alarm = this.threshold === undefined ? "" : `, alarm from ${number(this.threshold, 2)}`;
    $("score-note").textContent = version ? `${model?.name ?? "model"} ${version}${alarm}` : "no model has scored this device";
  }
}

function cadence(rows) {
  const points = [];
  let sum = 0;
  let first = 0;
  rows.forEach((row) => {
    const time = Date.parse(row.window_start);
    sum += row.steps ?? 0;
    while (Date.parse(rows[first].window_start) <= time - CADENCE_S * 1000) sum -= rows[first++].steps ?? 0;
    points.push([time, (sum * 60) / CADENCE_S]);
  });
  return points;
}

function fact([name, value]) {
  const pair = document.createElement("div");
  pair.innerHTML = "<dt></dt><dd></dd>";
  pair.firstElementChild.textContent = name;
  pair.lastElementChild.textContent = value;
  return pair;
}

function say(id) {
  return (problem) => {
    $(id).textContent = problem && `Could not be read: ${problem}. What is shown is older.`;
  };
}
