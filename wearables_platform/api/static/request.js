// Questions to the query API, with the reader's token.

export class Api {
  /** onRefused(problem): the token is not good any more. */
  constructor(token, onRefused) {
    Object.assign(this, { token, onRefused });
  }

  /** Return the answer's JSON; throws an Error that says what the problem document says. */
  async get(path, parameters = {}, signal = undefined) {
    const given = Object.entries(parameters).filter(([, value]) => value !== undefined && value !== null);
    const query = new URLSearchParams(given).toString();
    const response = await fetch(`/v1${path}${query && `?${query}`}`, {
      headers: { Authorization: `Bearer ${this.token}` },
      signal,
    });
    if (response.ok) return response.json();
    const problem = await response.json().catch(() => ({ detail: `status ${response.status}` }));
    if (response.status === 401) this.onRefused(problem);
    throw Object.assign(new Error(problem.detail), { status: response.status });
  }

  /** Return the rows of so many pages, and whether there are more. */
  async pages(path, parameters, most, signal) {
    const items = [];
    let cursor;
    for (let page = 0; page < most; page++) {
      const answer = await this.get(path, { ...parameters, limit: 1000, cursor }, signal);
      items.push(...answer.items);
      cursor = answer.next_cursor;
      if (!cursor) break;
    }
    return { items, more: Boolean(cursor) };
  }
}

/** Ask again and again while a view is shown; a failure is told, and the next turn tries again. */
export class Poll {
  constructor(ask, everyMs, onProblem) {
    Object.assign(this, { ask, everyMs, onProblem });
  }

  start() {
    this.stop();
    const abort = (this.abort = new AbortController());
    this.#turn(abort);
  }

  stop() {
    this.abort?.abort();
    clearTimeout(this.timer);
  }

  async #turn(abort) {
    try {
      await this.ask(abort.signal);
      if (!abort.signal.aborted) this.onProblem("");
    } catch (error) {
      if (!abort.signal.aborted) this.onProblem(error.message);
    }
    if (!abort.signal.aborted) this.timer = setTimeout(() => this.#turn(abort), this.everyMs);
  }
}
