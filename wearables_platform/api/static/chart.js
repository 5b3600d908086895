// A still chart of one quantity over time: least to greatest as a band, the mean as a line, gaps as gaps.

import { clock, number } from "./words.js";

const STEPS = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];
const TICKS_S = [1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 21600, 43200, 86400, 172800, 432000];

export class Chart {
  /** unit: behind each figure of the scale; floor: the least the top of the scale may be. */
  constructor(canvas, { name, unit, floor }) {
    Object.assign(this, { canvas, name, unit, floor, points: [], line: null });
    this.ink = canvas.getContext("2d");
    new ResizeObserver(() => this.draw()).observe(canvas);
  }

  /** points: [[time_ms, mean, low, high], ...], low and high only where there is a band; gapMs: a longer pause is a gap. */
  show(points, { from, to, gapMs, line = null }) {
    Object.assign(this, { points, from, to, gapMs, line });
    this.draw();
    this.#describe();
  }

  draw() {
    const { width, height } = this.canvas.getBoundingClientRect();
    if (!width || this.from === undefined) return;
    const scale = devicePixelRatio || 1;
    Object.assign(this.canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    const { ink } = this;
    ink.setTransform(scale, 0, 0, scale, 0, 0);
    this.plot = { left: 62, right: width - 12, top: 10, bottom: height - 22 };
    this.#measure();
    this.#grid(colour("--line"), colour("--quiet"));
    if (!this.points.length) return this.#note(colour("--quiet"));
    this.#band(colour("--accent"));
    this.#line(colour("--accent"));
    if (this.line !== null) this.#threshold(colour("--alarm"));
  }

  /** The instant under a place on the screen, ms. */
  timeAt(clientX) {
    const x = clientX - this.canvas.getBoundingClientRect().left;
    const { left, right } = this.plot;
    return this.from + (Math.min(1, Math.max(0, (x - left) / (right - left))) * (this.to - this.from));
  }

  #measure() {
    let [low, high] = [0, Math.max(this.floor, this.line ?? 0)];
    for (const [, mean, least = mean, most = mean] of this.points) {
      if (least < low) low = least;
      if (most > high) high = most;
    }
    Object.assign(this, { low: low * 1.05, high: high * 1.08 });
  }

  #x(time) {
    return this.plot.left + ((time - this.from) / (this.to - this.from)) * (this.plot.right - this.plot.left);
  }

  #y(value) {
    return this.plot.bottom - ((value - this.low) / (this.high - this.low)) * (this.plot.bottom - this.plot.top);
  }

  #grid(line, text) {
    const { ink, plot } = this;
    const step = STEPS.find((size) => (this.high - this.low) / size <= 4) ?? 10000;
    Object.assign(ink, { font: "12px system-ui, sans-serif", fillStyle: text, strokeStyle: line, lineWidth: 1, textAlign: "right", textBaseline: "middle" });
    for (let value = Math.ceil(this.low / step) * step; value <= this.high; value += step) {
      const y = Math.round(this.#y(value)) + 0.5;
      ink.beginPath();
      ink.moveTo(plot.left, y);
      ink.lineTo(plot.right, y);
      ink.stroke();
      ink.fillText(`${number(value, step < 0.1 ? 2 : step < 1 ? 1 : 0)} ${this.unit}`, plot.left - 6, y);
    }
    this.#times(text);
  }

  #times(text) {
    const { ink, plot } = this;
    const most = Math.max(1, Math.floor((plot.right - plot.left) / 110));
    const tick = 1000 * (TICKS_S.find((size) => (this.to - this.from) / 1000 / size <= most) ?? 864000);
    Object.assign(ink, { fillStyle: text, textAlign: "center", textBaseline: "top" });
    for (let time = Math.ceil(this.from / tick) * tick; time <= this.to; time += tick) {
      const iso = new Date(time).toISOString();
      const label = tick >= 86_400_000 ? iso.slice(5, 10) : clock(iso).slice(0, tick < 60_000 ? 8 : 5);
      if (this.#x(time) > plot.left + 14 && this.#x(time) < plot.right - 22) ink.fillText(label, this.#x(time), plot.bottom + 6);
    }
  }

  #band(colour) {
    const { ink } = this;
    ink.fillStyle = colour;
    ink.globalAlpha = 0.28;
    this.points.forEach(([time, , least, most], place) => {
      if (least === undefined) return;
      const next = this.points[place + 1]?.[0] ?? time + this.gapMs / 2;
      const width = Math.max(1, this.#x(Math.min(next, time + this.gapMs)) - this.#x(time));
      ink.fillRect(this.#x(time), this.#y(most), width, Math.max(1, this.#y(least) - this.#y(most)));
    });
    ink.globalAlpha = 1;
  }

  #line(colour) {
    const { ink } = this;
    Object.assign(ink, { strokeStyle: colour, lineWidth: 1.5, lineJoin: "round" });
    ink.beginPath();
    let before = -Infinity;
    for (const [time, mean] of this.points) {
      if (time - before > this.gapMs) ink.moveTo(this.#x(time), this.#y(mean));
      ink.lineTo(this.#x(time), this.#y(mean));
      before = time;
    }
    ink.stroke();
  }

  #threshold(colour) {
    const { ink, plot } = this;
    Object.assign(ink, { strokeStyle: colour, fillStyle: colour, lineWidth: 1, textAlign: "right", textBaseline: "bottom" });
    ink.setLineDash([5, 4]);
    ink.beginPath();
    ink.moveTo(plot.left, this.#y(this.line));
    ink.lineTo(plot.right, this.#y(this.line));
    ink.stroke();
    ink.setLineDash([]);
    ink.fillText("alarm from here", plot.right - 2, this.#y(this.line) - 2);
  }

  #note(colour) {
    const { ink, plot } = this;
    Object.assign(ink, { fillStyle: colour, font: "13px system-ui, sans-serif", textAlign: "center", textBaseline: "middle" });
    ink.fillText("nothing measured in this span", (plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2);
  }

  #describe() {
    const means = this.points.map(([, mean]) => mean);
    const said = means.length
      ? `least ${number(Math.min(...means), 2)}, newest ${number(means.at(-1), 2)}, greatest ${number(Math.max(...means), 2)} ${this.unit}`
      : "nothing measured";
    this.canvas.setAttribute("aria-label", `${this.name}: ${said}`);
  }
}
