// The page: the token, the connection's state, and what each live event changes.

import { LiveStream } from "./stream.js";
import { DeviceTable } from "./table.js";
import { Trace } from "./trace.js";
import { clock, day, number, span } from "./words.js";

const TOKEN_KEY = "wearables-token";
const THEME_KEY = "wearables-theme";
const EVENTS_SHOWN = 60;
const OUTCOMES = ["stored", "duplicate", "quarantined", "dead_lettered"];
const $ = (id) => document.getElementById(id);

const state = { stream: null, selected: null, picked: false, now: Date.now(), heardAt: null, total: 0, events: [] };
const table = new DeviceTable($("devices"), pick);
const trace = new Trace($("trace"));

// ---- the token: from the address's fragment, which no server sees, into this tab only

function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.has("token")) {
    sessionStorage.setItem(TOKEN_KEY, fragment.get("token"));
    history.replaceState(null, "", location.pathname);
  }
  return sessionStorage.getItem(TOKEN_KEY);
}

function start(token) {
  $("sign-in").hidden = true;
  $("main").hidden = $("sign-out").hidden = $("model").hidden = false;
  state.stream = new LiveStream(token, handlers, showConnection, refused);
  state.stream.follow(state.selected);
}

function askForToken(problem = "") {
  sessionStorage.removeItem(TOKEN_KEY);
  state.stream?.stop();
  $("main").hidden = $("sign-out").hidden = $("model").hidden = true;
  $("sign-in").hidden = false;
  $("token-problem").textContent = problem;
  showConnection("signed out");
  $("token").focus();
}

function refused(problem) {
  askForToken(problem.status === 401 ? "This token is not known." : problem.detail);
}

// ---- what the server sends

const handlers = {
  hello() {
    state.anew = true;
  },
  fleet({ as_of: asOf, total, changed, gone }) {
    // A new connection begins with all it has: what is not in it is gone.
    const sent = new Set(changed.map((device) => device.device_id));
    const left = state.anew ? table.devices.map((device) => device.device_id).filter((name) => !sent.has(name)) : gone;
    Object.assign(state, { now: Date.parse(asOf), total, anew: false });
    table.update(changed, left, state.now);
    state.events.slice().reverse().forEach((event) => table.setEvent(event.device_id, event));
    if (!state.picked) selectFirst();
    showFigures();
    showSelected();
  },
  trace({ device_id: device, restart, points }) {
    if (device === state.selected) trace.add(points, restart);
  },
  anomalies({ items }) {
    // An event comes again when it is over: the newer word takes the older one's place.
    const newest = new Map();
    for (const event of [...items, ...state.events]) {
      if (!newest.has(sameEvent(event))) newest.set(sameEvent(event), event);
    }
    state.events = [...newest.values()].slice(0, 1000);
    items.slice().reverse().forEach((event) => table.setEvent(event.device_id, event));
    showEvents();
    showMarkers();
  },
  platform({ models, stages }) {
    showModel(models);
    showStages(stages);
  },
};

function pick(name) {
  state.picked = true;
  select(name);
}

// Until the reader picks a device, show one that moves.
function selectFirst() {
  const moving = table.get(state.selected)?.freshness === "live";
  if (!moving && table.first) select(table.first);
}

function select(name) {
  if (name === state.selected) return;
  state.selected = name;
  table.select(name);
  trace.clear();
  showSelected();
  showMarkers();
  state.stream?.follow(name);
}

// ---- what the reader sees

function showConnection(kind) {
  if (kind === "live") state.heardAt = Date.now();
  if (document.body.dataset.connection === kind) return;
  document.body.dataset.connection = kind;
  $("connection").dataset.state = kind;
  const since = state.heardAt ? `, values as of ${clock(new Date(state.heardAt).toISOString()).slice(0, 8)} UTC` : "";
  $("connection-text").textContent = { live: "live", connecting: "connecting", lost: `reconnecting${since}` }[kind] ?? kind;
}

function showFigures() {
  const counts = { live: 0, late: 0, silent: 0 };
  for (const device of table.devices) counts[device.freshness]++;
  const shown = table.devices.length;
  $("figure-devices").textContent = number(state.total, 0);
  for (const [name, count] of Object.entries(counts)) $(`figure-${name}`).textContent = number(count, 0);
  $("devices-note").textContent = shown < state.total ? `the ${number(shown, 0)} seen last of ${number(state.total, 0)}` : "";
  $("devices-empty").hidden = shown > 0;
}

function showSelected() {
  const device = table.get(state.selected);
  $("trace-title").textContent = state.selected ?? "No device selected";
  if (!device) return;
  const digits = { heart_rate_bpm: 0, vm_g: 2, enmo_mg: 1, battery_percent: 0 };
  for (const field of document.querySelectorAll("#now [data-field]"))
    field.textContent = number(device[field.dataset.field], digits[field.dataset.field]);
  const heard = device.received_time ?? device.event_time;
  const silence = heard ? `silent: nothing for ${span((state.now - Date.parse(heard)) / 1000)}` : "nothing received yet";
  trace.stale = device.freshness === "silent" ? silence : null;
  const measured = device.event_time ? `measured ${day(device.event_time)} ${clock(device.event_time).slice(0, 8)} UTC` : "";
  $("trace-state").textContent = device.freshness === "late" ? `late: ${measured}` : measured;
  const vm = device.vm_g === null ? "no samples yet" : `now ${number(device.vm_g, 2)} g`;
  $("trace").setAttribute("aria-label", `Trace of the vector magnitude of ${device.device_id}: ${vm}, ${device.freshness}`);
}

function showMarkers() {
  const own = state.events.filter((event) => event.device_id === state.selected && event.started_at);
  trace.mark(own.map((event) => ({ time_s: Date.parse(event.started_at) / 1000, label: label(event) })));
}

function sameEvent(event) {
  return `${event.device_id} ${event.kind} ${event.started_at ?? event.id}`;
}

function label(event) {
  return `${event.kind} ${size(event)}`.trim();
}

function size(event) {
  if (event.peak_g !== null) return `${number(event.peak_g, 1)} g`;
  if (event.extreme_value === null) return "";
  return `${number(event.extreme_value, 1)} ${{ "m[g]": "mg", "/min": "/min" }[event.extreme_unit] ?? event.extreme_unit ?? ""}`.trim();
}

// When it began, and when it ended: seconds within a minute say nothing new.
function lifetime(event) {
  const today = day(event.started_at) === day(state.now);
  const begin = `${today ? "" : `${day(event.started_at)} `}${clock(event.started_at).slice(0, 10)}`;
  if (event.provisional && event.extreme_value !== null) return `${begin} UTC, going on`;
  const lasted = (event.duration_ms ?? 0) >= 60_000 && event.ended_at;
  return lasted ? `${begin} to ${clock(event.ended_at).slice(0, 8)} UTC` : `${begin} UTC`;
}

function showEvents() {
  $("events-empty").hidden = state.events.length > 0;
  $("events").replaceChildren(...state.events.slice(0, EVENTS_SHOWN).map(eventItem));
}

function eventItem(event) {
  const item = document.createElement("li");
  item.innerHTML = '<span class="tag"></span><button class="who" type="button"></button><span class="peak"></span><time></time>';
  item.dataset.severity = event.severity ?? "info";
  const [tag, who, peak, time] = item.children;
  tag.textContent = event.kind;
  tag.title = event.severity ?? "";
  who.textContent = event.device_id;
  who.addEventListener("click", () => pick(event.device_id));
  peak.textContent = [size(event), event.severity === "info" ? "" : event.severity].filter(Boolean).join(", ");
  if (event.started_at) {
    time.dateTime = time.title = event.started_at;
    time.textContent = lifetime(event);
  }
  return item;
}

function showModel(models) {
  const inForce = Object.entries(models).map(([name, { version }]) => `${name} ${version ?? ""}`.trim());
  $("model-text").textContent = inForce.join(", ") || "none in force";
}

function showStages(stages) {
  const lines = new Map();
  for (const { consumer, topic, outcome, messages } of stages) {
    const key = `${consumer}\n${topic}`;
    lines.set(key, { ...lines.get(key), [outcome]: messages });
  }
  const streamed = stages.filter((row) => row.consumer === "stream");
  const sum = (rows) => rows.reduce((total, row) => total + row.messages, 0);
  $("figure-streamed").textContent = number(sum(streamed), 0);
  $("figure-dead").textContent = number(sum(streamed.filter((row) => row.outcome === "dead_lettered")), 0);
  $("stages-empty").hidden = lines.size > 0;
  $("stages").tBodies[0].replaceChildren(...[...lines].map(([key, counts]) => stageRow(key.split("\n"), counts)));
}

function stageRow([consumer, topic], counts) {
  const row = document.createElement("tr");
  row.insertCell().textContent = consumer;
  row.insertCell().textContent = topic;
  for (const outcome of OUTCOMES) {
    const cell = row.insertCell();
    cell.className = "n";
    cell.textContent = number(counts[outcome] ?? 0, 0);
  }
  return row;
}

// ---- the reader's own controls

$("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const token = $("token").value.trim();
  $("token").value = "";
  sessionStorage.setItem(TOKEN_KEY, token);
  start(token);
});
$("sign-out").addEventListener("click", () => {
  sessionStorage.removeItem(TOKEN_KEY);
  location.reload(); // nothing that was shown stays in this tab
});
$("filter").addEventListener("input", (event) => table.find(event.target.value));
$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).colorScheme === "dark" ||
    (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  localStorage.setItem(THEME_KEY, (document.documentElement.dataset.theme = dark ? "light" : "dark"));
});

const theme = localStorage.getItem(THEME_KEY);
if (theme) document.documentElement.dataset.theme = theme;
const token = takeToken();
if (token) start(token);
else askForToken();
