// The signal at any zoom: the waveform operation, with buttons that do what dragging over the chart does.

import { Chart } from "./chart.js";
import { moment, number, span, tableRow } from "./words.js";

const MINUTE_MS = 60_000;
const SHORTEST_MS = 2_000;
const LONGEST_MS = 32 * 86_400_000;
const TABLE_ROWS = 24;

export class History {
  /** root: the section; clock(): now by the server, ms. */
  constructor(root, clock) {
    Object.assign(this, { root, clock });
    this.part = (name) => root.querySelector(`[data-history=${name}]`);
    this.chart = new Chart(this.part("chart"), { name: "Vector magnitude over the span", unit: "g", floor: 1.2 });
    const steps = {
      in: () => this.#zoom(0.5), out: () => this.#zoom(2), back: () => this.#move(-0.5), on: () => this.#move(0.5),
      newest: () => this.#look(this.clock() - (this.to - this.from), this.clock()),
    };
    for (const [name, step] of Object.entries(steps)) this.part(name).addEventListener("click", step);
    this.part("span").addEventListener("change", (event) => {
      const length = Number(event.target.value);
      if (length) this.#look(this.clock() - length, this.clock());
    });
    this.#drag(this.part("chart"));
  }

  open(api, device) {
    Object.assign(this, { api, device });
    this.part("span").value = String(60 * MINUTE_MS);
    this.#look(this.clock() - 60 * MINUTE_MS, this.clock());
  }

  close() {
    this.abort?.abort();
  }

  redraw() {
    this.chart.draw();
  }

  #zoom(by) {
    const [middle, half] = [(this.from + this.to) / 2, ((this.to - this.from) * by) / 2];
    this.#look(middle - half, middle + half);
  }

  #move(by) {
    const length = this.to - this.from;
    this.#look(this.from + by * length, this.to + by * length);
  }

  async #look(from, to) {
    const length = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, to - from));
    const end = Math.min((from + to) / 2 + length / 2, this.clock());
    Object.assign(this, { from: Math.round(end - length), to: Math.round(end) });
    this.part("span").value = [...this.part("span").options].some((option) => option.value === String(length)) ? String(length) : "";
    this.abort?.abort();
    const { signal } = (this.abort = new AbortController());
    const points = Math.min(2000, Math.max(100, Math.round(this.part("chart").clientWidth)));
    const asked = { from: new Date(this.from).toISOString(), to: new Date(this.to).toISOString(), points };
    try {
      this.#show(await this.api.get(`/devices/${encodeURIComponent(this.device)}/waveform`, asked, signal));
    } catch (error) {
      if (!signal.aborted) this.part("said").textContent = `The signal could not be read: ${error.message}`;
    }
  }

  #show({ parts }) {
    const points = parts.flatMap((part) =>
      part.time_us.map((time, place) => [time / 1000, part.vm_mean_g?.[place] ?? part.vm_max_g[place], part.vm_min_g[place], part.vm_max_g[place]]));
    const width = Math.max(...parts.map((part) => part.width_us / 1000), (this.to - this.from) / 1000);
    this.chart.show(points, { from: this.from, to: this.to, gapMs: 2.5 * width });
    const from = parts.map((part) => `${part.level} from ${part.source}`).join(", then ");
    const range = `${moment(this.from, this.clock())} to ${moment(this.to, this.clock())}, ${span((this.to - this.from) / 1000)}`;
    this.part("said").textContent = points.length ? `${range}: ${number(points.length, 0)} points (${from}).` : `${range}: nothing measured.`;
    const every = Math.max(1, Math.ceil(points.length / TABLE_ROWS));
    const rows = points.filter((_, place) => place % every === 0);
    this.part("rows").replaceChildren(...rows.map(([time, mean, low, high]) =>
      tableRow(moment(time, this.clock()), number(low, 2), number(mean, 2), number(high, 2))));
  }

  // Dragging over a span zooms into it. Wheels and single taps are the page's, for scrolling.
  #drag(canvas) {
    let begin = null;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse" && this.from !== undefined) begin = this.chart.timeAt(event.clientX);
    });
    canvas.addEventListener("pointerup", (event) => {
      const end = begin === null ? null : this.chart.timeAt(event.clientX);
      if (end !== null && Math.abs(end - begin) > (this.to - this.from) / 50) this.#look(Math.min(begin, end), Math.max(begin, end));
      begin = null;
    });
  }
}
