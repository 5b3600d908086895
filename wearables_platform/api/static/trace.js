// The moving trace of one device: vector magnitude over the last ten seconds of its event time.

const SPAN_S = 10;
const KEEP_S = 20;
const GAP_S = 0.5; // a longer pause between two points is drawn as a gap, not as a line
const EASE_S = 0.3; // the view follows the newest point with this time constant, so a step of data does not jump
const JUMP_S = 15;

export class Trace {
  constructor(canvas) {
    this.canvas = canvas;
    this.ink = canvas.getContext("2d");
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.clear();
    new ResizeObserver(() => this.#resize()).observe(canvas);
  }

  /** Draw while it is looked at, and only then. */
  start() {
    this.#resize();
    this.run ??= requestAnimationFrame((at) => this.#frame(at));
  }

  stop() {
    cancelAnimationFrame(this.run);
    this.run = this.last = null;
  }

  clear() {
    this.points = [];
    this.markers = [];
    this.end = null;
    this.top = 2;
    this.stale = null;
  }

  /** points: [[time_us, vm_g], ...] in time order. */
  add(points, restart) {
    if (restart || (this.points.length && points[0][0] / 1e6 < this.points.at(-1)[0])) this.points = [];
    for (const [timeUs, vmG] of points) this.points.push([timeUs / 1e6, vmG]);
    const oldest = this.points.at(-1)[0] - KEEP_S;
    this.points = this.points.slice(this.points.findIndex(([time]) => time >= oldest));
    this.canvas.dataset.seconds = Math.min(SPAN_S, Math.floor(this.#unbrokenS()));
  }

  // How long the trace has had no gap, up to its newest point.
  #unbrokenS() {
    let first = this.points.length - 1;
    while (first > 0 && this.points[first][0] - this.points[first - 1][0] <= GAP_S) first--;
    return this.points.at(-1)[0] - this.points[first][0];
  }

  /** markers: [{time_s, label}, ...] of this device. */
  mark(markers) {
    this.markers = markers;
  }

  get newest() {
    return this.points.at(-1);
  }

  #resize() {
    const { width, height } = this.canvas.getBoundingClientRect();
    const scale = devicePixelRatio || 1;
    this.canvas.width = Math.max(1, Math.round(width * scale));
    this.canvas.height = Math.max(1, Math.round(height * scale));
    Object.assign(this, { width, height, scale });
  }

  #frame(at) {
    const elapsed = Math.min(0.1, (at - (this.last ?? at)) / 1000);
    this.last = at;
    if (this.newest) this.#follow(elapsed);
    this.#draw();
    this.run = requestAnimationFrame((next) => this.#frame(next));
  }

  #follow(elapsed) {
    const target = this.newest[0];
    const jump = this.end === null || Math.abs(target - this.end) > JUMP_S || this.calm.matches;
    this.end = jump ? target : this.end + (target - this.end) * (1 - Math.exp(-elapsed / EASE_S));
    const highest = Math.max(...this.points.filter(([time]) => time > this.end - SPAN_S).map(([, vm]) => vm), 0);
    const top = Math.max(2, highest * 1.15);
    this.top += (top - this.top) * (this.calm.matches ? 1 : 1 - Math.exp(-elapsed / 0.2));
  }

  #draw() {
    const { ink, width, height, scale } = this;
    const style = getComputedStyle(this.canvas);
    const colour = (name) => style.getPropertyValue(name).trim();
    ink.setTransform(scale, 0, 0, scale, 0, 0);
    ink.clearRect(0, 0, width, height);
    const plot = { left: 40, right: width - 12, top: 12, bottom: height - 22 };
    this.#grid(plot, colour("--line"), colour("--quiet"));
    if (this.end === null) return this.#note(plot, "waiting for samples", colour("--quiet"));
    ink.save();
    ink.beginPath();
    ink.rect(plot.left, plot.top - 10, plot.right - plot.left, plot.bottom - plot.top + 10);
    ink.clip();
    this.#marks(plot, colour("--alarm"));
    this.#line(plot, this.stale ? colour("--silent") : colour("--accent"));
    ink.restore();
    if (this.stale) this.#note(plot, this.stale, colour("--text"), colour("--panel"));
  }

  #x(plot, time) {
    return plot.right - ((this.end - time) / SPAN_S) * (plot.right - plot.left);
  }

  #y(plot, vm) {
    return plot.bottom - (vm / this.top) * (plot.bottom - plot.top);
  }

  #grid(plot, line, text) {
    const { ink } = this;
    const step = [0.5, 1, 2, 5, 10, 20, 50, 100].find((size) => this.top / size <= 5) ?? 200;
    ink.font = "11px system-ui, sans-serif";
    ink.fillStyle = text;
    ink.strokeStyle = line;
    ink.lineWidth = 1;
    ink.textAlign = "right";
    ink.textBaseline = "middle";
    for (let vm = 0; vm <= this.top; vm += step) {
      const y = Math.round(this.#y(plot, vm)) + 0.5;
      ink.beginPath();
      ink.moveTo(plot.left, y);
      ink.lineTo(plot.right, y);
      ink.stroke();
      ink.fillText(`${vm} g`, plot.left - 7, y);
    }
    ink.textBaseline = "top";
    for (let ago = 0; ago <= SPAN_S; ago += 2) {
      ink.textAlign = ago === 0 ? "right" : ago === SPAN_S ? "left" : "center";
      const x = plot.right - (ago / SPAN_S) * (plot.right - plot.left);
      ink.fillText(ago ? `−${ago} s` : "newest", x, plot.bottom + 6);
    }
  }

  #line(plot, colour) {
    const { ink } = this;
    ink.strokeStyle = colour;
    ink.lineWidth = 1.8;
    ink.lineJoin = "round";
    ink.beginPath();
    let before = -Infinity;
    for (const [time, vm] of this.points) {
      if (time < this.end - SPAN_S - GAP_S) continue;
      const [x, y] = [this.#x(plot, time), this.#y(plot, vm)];
      if (time - before > GAP_S) ink.moveTo(x, y);
      else ink.lineTo(x, y);
      before = time;
    }
    ink.stroke();
  }

  #marks(plot, colour) {
    const { ink } = this;
    ink.strokeStyle = ink.fillStyle = colour;
    ink.textAlign = "left";
    ink.textBaseline = "top";
    for (const { time_s: time, label } of this.markers) {
      if (time < this.end - SPAN_S || time > this.end + 1) continue;
      const x = this.#x(plot, time);
      ink.globalAlpha = 0.7;
      ink.setLineDash([3, 3]);
      ink.beginPath();
      ink.moveTo(x, plot.top);
      ink.lineTo(x, plot.bottom);
      ink.stroke();
      ink.setLineDash([]);
      ink.globalAlpha = 1;
      ink.fillText(label, x + 4, plot.top - 6);
    }
  }

  #note(plot, text, colour, ground) {
    const { ink } = this;
    const [x, y] = [(plot.left + plot.right) / 2, (plot.top + plot.bottom) / 2];
    ink.font = "600 13px system-ui, sans-serif";
    ink.textAlign = "center";
    ink.textBaseline = "middle";
    if (ground) {
      const half = ink.measureText(text).width / 2 + 12;
      ink.fillStyle = ground;
      ink.globalAlpha = 0.88;
      ink.fillRect(x - half, y - 15, 2 * half, 30);
      ink.globalAlpha = 1;
    }
    ink.fillStyle = colour;
    ink.fillText(text, x, y);
  }
}
