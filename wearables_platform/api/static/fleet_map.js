// The picture of the fleet: a cell per device in the order of their ids, so that each stays where it is.
// State is a shape as well as a colour. The table beside it says the same to keyboards and screen readers.

const SHORTEST_PX = 5;
const LONGEST_PX = 22;
const TALLEST_PX = 230;
const COLOURS = { live: "--live", late: "--late", silent: "--silent", never: "--silent" };

export class FleetMap {
  constructor(canvas, tip, onOpen) {
    Object.assign(this, { canvas, tip, names: [], states: [] });
    this.ink = canvas.getContext("2d");
    new ResizeObserver(() => this.#layOut()).observe(canvas.parentElement);
    canvas.addEventListener("pointermove", (event) => this.#point(event));
    canvas.addEventListener("pointerleave", () => (this.tip.textContent = ""));
    canvas.addEventListener("click", (event) => this.#at(event) && onOpen(this.#at(event)));
  }

  update(fleet) {
    this.fleet = fleet;
    if (this.names.length !== fleet.rows.size || this.names.some((name) => !fleet.rows.has(name))) {
      this.names = [...fleet.rows.keys()].sort();
      this.#layOut();
    } else {
      this.names.forEach((name, place) => this.#cell(place, fleet.rows.get(name).freshness));
    }
    this.#describe();
  }

  /** Draw all anew: the theme has changed. */
  redraw() {
    this.#layOut();
  }

  #describe() {
    const { live = 0, late = 0, silent = 0, never = 0 } = this.fleet.counts().get("") ?? {};
    const text = `Every device as a cell: ${live} live, ${late} late, ${silent} silent, ${never} never heard. The table lists them.`;
    if (this.canvas.getAttribute("aria-label") !== text) this.canvas.setAttribute("aria-label", text);
  }

  #layOut() {
    const width = this.canvas.parentElement.clientWidth;
    if (!width || !this.fleet) return;
    let size = LONGEST_PX;
    while (size > SHORTEST_PX && Math.ceil(this.names.length / Math.floor(width / size)) * size > TALLEST_PX) size--;
    this.size = size;
    this.columns = Math.max(1, Math.floor(width / size));
    const height = Math.max(1, Math.ceil(this.names.length / this.columns)) * size;
    const scale = devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    Object.assign(this.canvas.style, { width: `${width}px`, height: `${height}px` });
    this.ink.setTransform(scale, 0, 0, scale, 0, 0);
    const style = getComputedStyle(this.canvas);
    this.colours = Object.fromEntries(Object.entries(COLOURS).map(([state, name]) => [state, style.getPropertyValue(name).trim()]));
    this.states = [];
    this.names.forEach((name, place) => this.#cell(place, this.fleet.rows.get(name).freshness));
  }

  // Only cells whose state changed are drawn.
  #cell(place, state) {
    if (this.states[place] === state || !this.size) return;
    this.states[place] = state;
    const { ink, size } = this;
    const gap = size > 8 ? 2 : 1;
    const [x, y, side] = [(place % this.columns) * size, Math.floor(place / this.columns) * size, size - gap];
    ink.clearRect(x, y, size, size);
    ink.fillStyle = ink.strokeStyle = this.colours[state];
    if (state === "live") ink.fillRect(x, y, side, side);
    else if (state === "late") triangle(ink, x, y, side);
    else if (state === "silent") ink.strokeRect(x + 0.75, y + 0.75, side - 1.5, side - 1.5);
    else ink.fillRect(x, y + side / 2 - 0.5, side, 1);
  }

  #at(event) {
    const { left, top } = this.canvas.getBoundingClientRect();
    const column = Math.floor((event.clientX - left) / this.size);
    return column < this.columns ? this.names[Math.floor((event.clientY - top) / this.size) * this.columns + column] : undefined;
  }

  #point(event) {
    const name = this.#at(event);
    this.tip.textContent = name ? `${name}: ${this.fleet.get(name)?.freshness ?? ""}` : "";
  }
}

function triangle(ink, x, y, side) {
  ink.beginPath();
  ink.moveTo(x, y + side);
  ink.lineTo(x + side, y + side);
  ink.lineTo(x + side / 2, y);
  ink.fill();
}
