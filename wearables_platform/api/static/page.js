// The page: the token, the address, the connection's state, and what each live event changes.

import { DeviceView } from "./device.js";
import { eventItem, sameEvent } from "./events.js";
import { Fleet, STATES } from "./fleet.js";
import { FleetMap } from "./fleet_map.js";
import { ParticipantView } from "./participant.js";
import { PlatformView } from "./platform.js";
import { Api } from "./request.js";
import { LiveStream } from "./stream.js";
import { DeviceTable } from "./table.js";
import { startTheme } from "./theme.js";
import { clock, number, tableRow } from "./words.js";

const TOKEN_KEY = "wearables-token";
const EVENTS_SHOWN = 60;
const EVENTS_KEPT = 1000;
const ENROLLED_EVERY_MS = 60_000;
const ENROLLED_PAGES = 20;
const TITLES = { fleet: "Fleet", device: "Device", participant: "Participant", platform: "Platform" };
const $ = (id) => document.getElementById(id);

const fleet = new Fleet();
const state = { fleet, events: [], platform: { models: {}, stages: [], counters: {} }, stream: null, api: null, heardAt: null };
const now = () => fleet.now;
const table = new DeviceTable($("devices"), $("devices-scroll"), showMatches);
const map = new FleetMap($("fleet-map"), $("fleet-map-tip"), (name) => (location.hash = `#/device/${encodeURIComponent(name)}`));
const views = { device: new DeviceView(now), participant: new ParticipantView(), platform: new PlatformView() };
const at = { view: null, name: null, from: null };

// ---- the token: from the address's fragment, which no server sees, into this tab only

function takeToken() {
  const fragment = new URLSearchParams(location.hash.slice(1));
  if (fragment.has("token")) {
    sessionStorage.setItem(TOKEN_KEY, fragment.get("token"));
    history.replaceState(null, "", location.pathname + (fragment.has("view") ? `#${fragment.get("view")}` : ""));
  }
  return sessionStorage.getItem(TOKEN_KEY);
}

function start(token) {
  $("sign-in").hidden = true;
  $("main").hidden = $("sign-out").hidden = $("pages").hidden = false;
  state.api = new Api(token, refused);
  state.stream = new LiveStream(token, handlers, showConnection, refused);
  go();
}

function askForToken(problem = "") {
  sessionStorage.removeItem(TOKEN_KEY);
  state.stream?.stop();
  leave();
  $("main").hidden = $("sign-out").hidden = $("pages").hidden = true;
  $("sign-in").hidden = false;
  $("token-problem").textContent = problem;
  showConnection("signed out");
  $("token").focus();
}

function refused(problem) {
  askForToken(problem.status === 401 ? "This token is not known." : problem.detail);
}

// ---- the address says what is shown: #/, #/device/ID, #/participant/ID, #/platform

function address() {
  const [, view = "", name = ""] = location.hash.match(/^#\/([a-z]*)\/?(.*)$/) ?? [];
  if (view === "platform" || (view in views && name)) return { view, name: decodeURIComponent(name) };
  return { view: "fleet", name: null };
}

function leave() {
  views[at.view]?.hide();
  at.view = null;
}

function go() {
  if (!state.api || $("main").hidden) return;
  const { view, name } = address();
  if (view === at.view && name === at.name) return;
  const first = at.view === null;
  leave();
  const before = at.name;
  Object.assign(at, { view, name });
  for (const one of Object.keys(TITLES)) $(`view-${one}`).hidden = one !== view;
  for (const link of $("pages").querySelectorAll("a")) {
    if (link.dataset.view === view) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `Wearables: ${name ?? TITLES[view].toLowerCase()}`;
  views[view]?.show(state.api, name, state);
  const device = view === "device" ? name : null;
  if (first || device !== state.stream.device) state.stream.follow(device);
  if (view === "fleet") showFleet();
  if (!first) settle(view, before);
}

// The focus goes where the reader goes: to the heading, and back to the row that was left.
function settle(view, before) {
  scrollTo(0, 0);
  if (view === "fleet" && fleet.get(before)) table.focus(before);
  else $(`view-${view}`).querySelector("h2").focus();
}

// ---- what the server sends

const handlers = {
  hello({ columns }) {
    fleet.begin(columns);
  },
  fleet(frame) {
    fleet.update(frame);
    state.events.toReversed().forEach((event) => fleet.setEvent(event));
    if (fleet.hasUnknown) readEnrolled();
    views[at.view]?.fleetMoved?.();
    if (at.view === "fleet") showFleet();
  },
  device(latest) {
    views.device.values(latest);
  },
  trace(frame) {
    views.device.addTrace(frame);
  },
  anomalies({ items }) {
    // An event comes again when it is over: the newer word takes the older one's place.
    const newest = new Map();
    for (const event of [...items, ...state.events]) {
      if (!newest.has(sameEvent(event))) newest.set(sameEvent(event), event);
    }
    state.events = [...newest.values()].slice(0, EVENTS_KEPT);
    if (at.view === "device") views.device.showEvents(state.events);
    if (at.view === "fleet") showEvents();
  },
  platform(platform) {
    state.platform = platform;
    if (at.view === "platform") views.platform.state(platform);
    showModel();
  },
};

let enrolledAt = -Infinity;
async function readEnrolled() {
  if (performance.now() - enrolledAt < ENROLLED_EVERY_MS) return;
  enrolledAt = performance.now();
  try {
    fleet.enrol((await state.api.pages("/devices", {}, ENROLLED_PAGES)).items);
  } catch (error) {
    $("devices-problem").textContent = `Who wears what could not be read: ${error.message}.`;
    return;
  }
  $("devices-problem").textContent = "";
  if (at.view === "fleet") showFleet();
  views[at.view]?.enrolled?.(fleet);
  showChoices();
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

function showFleet() {
  const { live = 0, late = 0, silent = 0, never = 0 } = fleet.counts().get("") ?? {};
  const figures = { live, late, silent, never, devices: live + late + silent + never };
  for (const [name, count] of Object.entries(figures)) set($(`figure-${name}`), number(count, 0));
  const heard = live + late + silent;
  set($("devices-note"), heard < fleet.total ? `the ${number(heard, 0)} seen last of ${number(fleet.total, 0)}` : "");
  $("devices-empty").hidden = fleet.rows.size > 0;
  table.update(fleet);
  map.update(fleet);
  showGroups("studies", "study");
  showGroups("device-models", "model");
  showEvents();
}

function showGroups(id, property) {
  const groups = [...fleet.counts(property)].sort(([a], [b]) => (a < b ? -1 : 1)).slice(0, 50);
  const rows = groups.map(([name, counts]) => [name, ...STATES.map((one) => number(counts[one], 0))]);
  const text = JSON.stringify(rows);
  if ($(id).dataset.shown === text) return;
  $(id).dataset.shown = text;
  $(id).tBodies[0].replaceChildren(...rows.map((row) => tableRow(...row)));
}

function showMatches(matching, all, said) {
  if (said) set($("matches"), matching === all ? "" : `${number(matching, 0)} of ${number(all, 0)} devices match`);
}

function showChoices() {
  for (const property of ["study", "model"]) {
    const select = $(`filter-${property}`);
    const names = [...fleet.counts(property).keys()].filter((name) => name !== "not known").sort();
    const known = [...select.options].slice(1).map((option) => option.value);
    if (JSON.stringify(names) === JSON.stringify(known)) continue;
    const chosen = select.value;
    select.replaceChildren(select.options[0], ...names.map((name) => new Option(name, name)));
    select.value = chosen;
  }
}

let eventsShown = null;
function showEvents() {
  $("events-empty").hidden = state.events.length > 0;
  if (eventsShown === state.events || $("events").contains(document.activeElement)) return;
  eventsShown = state.events;
  $("events").replaceChildren(...state.events.slice(0, EVENTS_SHOWN).map((event) => eventItem(event, now())));
}

function showModel() {
  const inForce = Object.entries(state.platform.models).map(([name, { version }]) => `${name} ${version ?? ""}`.trim());
  set($("model-text"), inForce.join(", ") || "none in force");
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// ---- what the reader does

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
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the part behind # says what is shown
  ($("main").hidden ? $("token") : $("main")).focus();
});
$("filter").addEventListener("input", (event) => table.find({ text: event.target.value.trim().toLowerCase() }));
for (const property of ["state", "study", "model"])
  $(`filter-${property}`).addEventListener("change", (event) => table.find({ [property]: event.target.value }));
addEventListener("hashchange", go);
addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !state.api || at.view === "fleet" || event.defaultPrevented) return;
  if (event.target.matches("input, select")) return;
  location.hash = "#/";
});

startTheme($("theme"), () => {
  map.redraw();
  views.device.redraw();
});
const token = takeToken();
if (token) start(token);
else askForToken();
