// Server-sent events over fetch: EventSource cannot send the Authorization header, and a token in an address ends up
// in logs. Reconnects by itself, with jitter, until it is stopped or the token is refused.

const MOST_DEVICES = 20_000;
const SILENCE_MS = 10_000; // the server sends something every second
const FIRST_FRAME_MS = 60_000; // and needs a while to gather a large fleet for the first time
const FIRST_WAIT_MS = 400;
const LONGEST_WAIT_MS = 8000;

export class LiveStream {
  /** handlers: {event name: (data) => void}; onState("connecting" | "live" | "lost"); onRefused(problem). */
  constructor(token, handlers, onState, onRefused) {
    Object.assign(this, { token, handlers, onState, onRefused });
    this.device = null;
    this.lastEventId = null;
    this.attempt = 0;
    this.run = 0;
  }

  /** Follow a device (or none); opens a new connection. */
  follow(device) {
    this.device = device;
    this.attempt = 0;
    this.#open(++this.run);
  }

  stop() {
    this.run++;
    this.abort?.abort();
  }

  async #open(run) {
    this.abort?.abort();
    const abort = (this.abort = new AbortController());
    if (this.attempt === 0 && !this.everLive) this.onState("connecting");
    try {
      await this.#read(run, abort);
    } catch (error) {
      if (error.problem && run === this.run) {
        this.stop();
        this.onRefused(error.problem);
      }
    }
    if (run !== this.run) return;
    this.onState("lost");
    const wait = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.attempt++) * (0.5 + Math.random() / 2);
    setTimeout(() => run === this.run && this.#open(run), wait);
  }

  async #read(run, abort) {
    let watchdog = 0;
    this.patienceMs = FIRST_FRAME_MS;
    const heard = () => {
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), this.patienceMs);
    };
    try {
      heard();
      const headers = { Authorization: `Bearer ${this.token}` };
      if (this.lastEventId) headers["Last-Event-ID"] = this.lastEventId;
      const query = `?rows=compact&limit=${MOST_DEVICES}${this.device ? `&device=${encodeURIComponent(this.device)}` : ""}`;
      const response = await fetch(`/v1/live/stream${query}`, { headers, signal: abort.signal, cache: "no-store" });
      if (response.status === 401 || response.status === 403) throw { problem: await response.json() };
      if (!response.ok) throw new Error(`status ${response.status}`);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done || run !== this.run) return;
        heard();
        const frames = (rest + value).split("\n\n");
        rest = frames.pop();
        frames.forEach((frame) => this.#dispatch(frame));
      }
    } finally {
      clearTimeout(watchdog);
    }
  }

  #dispatch(frame) {
    const fields = Object.fromEntries(frame.split("\n").map((line) => {
      const colon = line.indexOf(": ");
      return [line.slice(0, colon), line.slice(colon + 2)];
    }));
    if (fields.id) this.lastEventId = fields.id;
    if (fields.event === "unavailable") {
      this.onState("lost");
      return;
    }
    if (fields.event === "fleet") {
      this.attempt = 0;
      this.patienceMs = SILENCE_MS;
      this.everLive = true;
      this.onState("live");
    }
    this.handlers[fields.event]?.(JSON.parse(fields.data));
  }
}
