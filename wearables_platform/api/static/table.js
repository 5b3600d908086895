// The table of devices: one row per device, only changed cells are touched, order kept until the reader changes it.

import { ago, number } from "./words.js";

const RANK = { live: 0, late: 1, silent: 2 };

export class DeviceTable {
  constructor(table, onSelect) {
    this.body = table.tBodies[0];
    this.heads = [...table.tHead.querySelectorAll("th")];
    this.onSelect = onSelect;
    this.rows = new Map();
    this.filter = "";
    this.key = "freshness";
    this.direction = 1;
    for (const head of this.heads) head.querySelector("button").addEventListener("click", () => this.#sortBy(head.dataset.sort));
    this.#showSort();
  }

  /** devices: the changed ones; events: Map(device_id -> newest event). */
  update(changed, gone, now) {
    for (const device of changed) this.#row(device.device_id).device = device;
    for (const name of gone) {
      this.rows.get(name)?.element.remove();
      this.rows.delete(name);
    }
    this.now = now;
    for (const row of this.rows.values()) this.#show(row);
    this.#order();
  }

  setEvent(name, event) {
    const row = this.rows.get(name);
    if (row) row.event = event;
  }

  select(name) {
    this.selected = name;
    for (const [other, row] of this.rows) this.#mark(row, other === name);
  }

  find(text) {
    this.filter = text.trim().toLowerCase();
    for (const row of this.rows.values()) this.#show(row);
  }

  get(name) {
    return this.rows.get(name)?.device;
  }

  get devices() {
    return [...this.rows.values()].map((row) => row.device);
  }

  /** The device in the first row, or undefined. */
  get first() {
    return this.body.rows[0]?.dataset.device;
  }

  #row(name) {
    let row = this.rows.get(name);
    if (row) return row;
    const element = document.createElement("tr");
    element.dataset.device = name;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.title = name;
    const cells = this.heads.map((head) => {
      const cell = element.insertCell();
      cell.className = head.className;
      return cell;
    });
    cells[0].append(button);
    cells[1].innerHTML = '<span class="state"><span class="dot"></span><span></span></span>';
    element.addEventListener("click", () => this.onSelect(name));
    row = { element, button, cells, event: null, device: null };
    this.rows.set(name, row);
    this.body.append(element);
    this.#mark(row, name === this.selected);
    return row;
  }

  #show({ element, cells, device, event }) {
    element.dataset.freshness = device.freshness;
    element.hidden = !device.device_id.toLowerCase().includes(this.filter);
    const state = cells[1].firstElementChild;
    state.dataset.state = device.freshness;
    state.firstElementChild.className = `dot ${device.freshness}`;
    set(state.lastElementChild, device.freshness);
    set(cells[2], device.event_time ? ago(Date.parse(device.event_time), this.now) : "never");
    cells[2].title = device.event_time ?? "";
    set(cells[3], number(device.heart_rate_bpm, 0));
    set(cells[4], number(device.vm_g, 2));
    set(cells[5], number(device.enmo_mg, 1));
    set(cells[6], number(device.anomaly_score, 2));
    cells[6].title = device.model_version ? `model ${device.model_version}` : "no model in force";
    if (event && cells[7].dataset.id !== event.id) {
      cells[7].dataset.id = event.id;
      cells[7].innerHTML = '<span class="tag"></span> <small></small>';
      cells[7].firstElementChild.textContent = event.kind;
    }
    if (event?.started_at) set(cells[7].lastElementChild, ago(Date.parse(event.started_at), this.now));
  }

  #mark(row, chosen) {
    row.element.classList.toggle("selected", chosen);
    row.button.setAttribute("aria-pressed", String(chosen));
  }

  #sortBy(key) {
    this.direction = key === this.key ? -this.direction : 1;
    this.key = key;
    this.#showSort();
    this.#order();
  }

  #showSort() {
    for (const head of this.heads) {
      if (head.dataset.sort === this.key) head.setAttribute("aria-sort", this.direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  #order() {
    const wanted = [...this.rows.values()].sort((a, b) => this.#compare(a, b));
    // Moving a row takes the focus from it: only those that are out of place are moved.
    wanted.forEach((row, place) => {
      if (this.body.rows[place] !== row.element) this.body.insertBefore(row.element, this.body.rows[place]);
    });
  }

  #compare(a, b) {
    const [left, right] = [this.#value(a), this.#value(b)];
    if (left === right) return a.device.device_id < b.device.device_id ? -1 : 1;
    if (left === null) return 1; // what is not known comes last, whichever way
    if (right === null) return -1;
    return (left < right ? -1 : 1) * this.direction;
  }

  #value({ device, event }) {
    if (this.key === "freshness") return RANK[device.freshness];
    if (this.key === "event") return event?.started_at ?? null;
    return device[this.key] ?? null;
  }
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
