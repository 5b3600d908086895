// The table of devices. However many there are, only the rows in sight are in the document.

import { ago, number } from "./words.js";

const RANK = { live: 0, late: 1, silent: 2, never: 3 };
const BEYOND = 6; // rows above and below those in sight, so that a step with the keyboard finds its row

export class DeviceTable {
  constructor(table, region, onCount) {
    Object.assign(this, { table, region, onCount });
    this.body = table.tBodies[0];
    this.heads = [...table.tHead.querySelectorAll("th")];
    this.above = spacer(this.heads.length);
    this.below = spacer(this.heads.length);
    this.body.append(this.above, this.below);
    this.shown = new Map();
    this.view = [];
    this.wanted = { text: "", state: "", study: "", model: "" };
    this.key = "freshness";
    this.direction = 1;
    for (const head of this.heads)
      head.querySelector("button").addEventListener("click", () => this.#sortBy(head.dataset.sort));
    region.addEventListener("scroll", () => this.#later(), { passive: true });
    this.body.addEventListener("keydown", (event) => this.#step(event));
    new ResizeObserver(() => this.#later()).observe(region);
    this.#showSort();
  }

  /** Show the fleet as it is now. */
  update(fleet) {
    this.fleet = fleet;
    this.#choose();
    this.#render();
  }

  /** Show the devices that match only. */
  find(wanted) {
    Object.assign(this.wanted, wanted);
    this.region.scrollTop = 0;
    this.#choose(true);
    this.#render();
  }

  /** Bring a device's row into sight and give it the focus. */
  focus(name) {
    const place = this.view.findIndex((row) => row.device_id === name);
    if (place < 0) return this.region.focus();
    this.#reveal(place);
    this.shown.get(name)?.link.focus();
  }

  #choose(afresh = false) {
    if (!this.fleet) return;
    const { text, state, study, model } = this.wanted;
    const known = this.fleet.rows;
    const matches = (row) =>
      (!state || row.freshness === state) && (!study || row.study === study) && (!model || row.model === model) &&
      (!text || row.device_id.toLowerCase().includes(text) || row.person?.toLowerCase().includes(text));
    const chosen = [...known.values()].filter(matches);
    // A row somebody stands on must not run away: while the focus is on a row, the order stays.
    const held = !afresh && this.body.contains(document.activeElement);
    if (held) {
      const left = new Set(chosen);
      this.view = this.view.filter((row) => left.delete(row));
      this.view.push(...left);
    } else {
      this.view = chosen.sort((a, b) => this.#compare(a, b));
    }
    this.table.setAttribute("aria-rowcount", this.view.length + 1);
    this.onCount(this.view.length, known.size, afresh);
  }

  #later() {
    this.pending ??= requestAnimationFrame(() => {
      this.pending = null;
      this.#render();
    });
  }

  #render() {
    const height = this.rowHeight ?? 36;
    const first = Math.max(0, Math.floor(this.region.scrollTop / height) - BEYOND);
    const last = Math.min(this.view.length, Math.ceil((this.region.scrollTop + this.region.clientHeight) / height) + BEYOND);
    const rows = this.view.slice(first, last);
    this.#forget(new Set(rows.map((row) => row.device_id)));
    let before = this.above;
    rows.forEach((row, offset) => {
      const shown = this.shown.get(row.device_id) ?? this.#make(row.device_id);
      if (before.nextElementSibling !== shown.element) before.after(shown.element);
      shown.element.setAttribute("aria-rowindex", first + offset + 2);
      this.#show(shown, row);
      before = shown.element;
    });
    this.above.firstElementChild.style.height = `${first * height}px`;
    this.below.firstElementChild.style.height = `${(this.view.length - last) * height}px`;
    this.above.hidden = first === 0;
    this.below.hidden = last === this.view.length;
    const measured = rows.length && before.getBoundingClientRect().height;
    if (measured && Math.abs(measured - height) > 0.5) {
      this.rowHeight = measured;
      this.#later();
    }
  }

  #forget(kept) {
    for (const [name, { element }] of this.shown) {
      if (kept.has(name)) continue;
      if (element.contains(document.activeElement)) this.region.focus({ preventScroll: true });
      element.remove();
      this.shown.delete(name);
    }
  }

  #make(name) {
    const element = document.createElement("tr");
    element.dataset.device = name;
    const cells = this.heads.map((head, place) => {
      const cell = document.createElement(place === 0 ? "th" : "td");
      if (place === 0) cell.scope = "row";
      cell.className = head.className;
      element.append(cell);
      return cell;
    });
    const link = document.createElement("a");
    link.href = `#/device/${encodeURIComponent(name)}`;
    link.textContent = link.title = name;
    cells[0].append(link);
    cells[1].innerHTML = '<span class="state"><span class="mark" aria-hidden="true"></span><span></span></span>';
    element.addEventListener("click", (event) => event.target === link || link.click());
    const shown = { element, link, cells };
    this.shown.set(name, shown);
    return shown;
  }

  #show({ element, cells }, row) {
    const now = this.fleet.now;
    if (element.dataset.freshness !== row.freshness) {
      element.dataset.freshness = row.freshness;
      cells[1].firstElementChild.dataset.state = row.freshness;
      cells[1].firstElementChild.firstElementChild.className = `mark ${row.freshness}`;
      cells[1].firstElementChild.lastElementChild.textContent = row.freshness === "never" ? "never heard" : row.freshness;
    }
    set(cells[2], row.event_time_ms ? ago(row.event_time_ms, now) : "never");
    set(cells[3], number(row.heart_rate_bpm, 0));
    set(cells[4], number(row.vm_g, 2));
    set(cells[5], number(row.enmo_mg, 1));
    set(cells[6], number(row.anomaly_score, 2));
    set(cells[7], number(row.battery_percent, 0));
    set(cells[8], { true: "yes", false: "no" }[row.worn] ?? "–");
    set(cells[9], row.event ? `${row.event.kind}, ${ago(Date.parse(row.event.started_at), now)}` : "");
    set(cells[10], row.person ?? "–");
    set(cells[11], [row.study, row.model].filter(Boolean).join(", ") || "–");
  }

  #step(event) {
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: 10, PageUp: -10, Home: -Infinity, End: Infinity };
    const name = event.target.closest("tr")?.dataset.device;
    if (!(event.key in steps) || !name || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const place = this.view.findIndex((row) => row.device_id === name) + steps[event.key];
    this.focus(this.view[Math.min(this.view.length - 1, Math.max(0, place))].device_id);
  }

  #reveal(place) {
    const height = this.rowHeight ?? 36;
    const head = this.table.tHead.offsetHeight;
    const [top, bottom] = [place * height, (place + 1) * height];
    if (top < this.region.scrollTop) this.region.scrollTop = top;
    else if (bottom + head > this.region.scrollTop + this.region.clientHeight)
      this.region.scrollTop = bottom + head - this.region.clientHeight;
    this.#render();
  }

  #sortBy(key) {
    this.direction = key === this.key ? -this.direction : 1;
    this.key = key;
    this.#showSort();
    this.region.scrollTop = 0;
    this.#choose(true);
    this.#render();
  }

  #showSort() {
    for (const head of this.heads) {
      if (head.dataset.sort === this.key)
        head.setAttribute("aria-sort", this.direction > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    }
  }

  #compare(a, b) {
    const [left, right] = [this.#value(a), this.#value(b)];
    if (left === right) return a.device_id < b.device_id ? -1 : 1;
    if (left === null) return 1; // what is not known comes last, whichever way
    if (right === null) return -1;
    return (left < right ? -1 : 1) * this.direction;
  }

  #value(row) {
    if (this.key === "freshness") return RANK[row.freshness];
    if (this.key === "event") return row.event?.started_at ?? null;
    return row[this.key] ?? null;
  }
}

function spacer(columns) {
  const row = document.createElement("tr");
  row.className = "spacer";
  row.setAttribute("aria-hidden", "true");
  row.insertCell().colSpan = columns;
  return row;
}

function set(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
