// What is known of the fleet: the live values of each device, who it is, its newest event.

export const STATES = ["live", "late", "silent", "never"];

export class Fleet {
  constructor() {
    this.rows = new Map();
    this.enrolled = new Map();
    this.columns = [];
    this.total = 0;
    this.now = Date.now();
    this.anew = false;
  }

  /** A connection begins: its first frame has all there is. */
  begin(columns) {
    this.columns = columns;
    this.anew = true;
  }

  /** Take a `fleet` event. */
  update({ as_of: asOf, total, changed, gone }) {
    const before = this.anew ? new Set(this.rows.keys()) : null;
    Object.assign(this, { now: Date.parse(asOf), total, anew: false });
    for (const values of changed) {
      this.#take(values);
      before?.delete(values[0]);
    }
    for (const name of before ?? gone) this.rows.delete(name);
    this.#addUnheard();
  }

  /** Take the enrolled devices: model, wearer, study. */
  enrol(devices) {
    this.enrolled = new Map(devices.map((device) => [device.device_id, device]));
    for (const row of this.rows.values()) this.#describe(row);
    this.#addUnheard();
  }

  setEvent(event) {
    const row = this.rows.get(event.device_id);
    if (row) row.event = event;
  }

  get(name) {
    return this.rows.get(name);
  }

  /** How many devices are in each state: of all, and by a property of theirs. */
  counts(property = null) {
    const groups = new Map();
    for (const row of this.rows.values()) {
      const group = property === null ? "" : (row[property] ?? "not known");
      if (!groups.has(group)) groups.set(group, { live: 0, late: 0, silent: 0, never: 0 });
      groups.get(group)[row.freshness]++;
    }
    return groups;
  }

  /** Devices that send but are not enrolled under what was read last: time to read again. */
  get hasUnknown() {
    for (const row of this.rows.values()) if (!this.enrolled.has(row.device_id)) return true;
    return false;
  }

  #take(values) {
    const name = values[0];
    let row = this.rows.get(name);
    if (!row) {
      row = { device_id: name, event: null };
      this.rows.set(name, row);
      this.#describe(row);
    }
    this.columns.forEach((column, place) => (row[column] = values[place]));
    row.freshness = STATES[row.freshness];
  }

  #describe(row) {
    const { device_model: model = null, participant_id: person = null, study_id: study = null } =
      this.enrolled.get(row.device_id) ?? {};
    Object.assign(row, { model, person, study });
  }

  // Enrolled and never heard of. Not said where the list is cut: what is not in it may have been heard long ago.
  #addUnheard() {
    const heard = [...this.rows.values()].filter((row) => row.freshness !== "never").length;
    for (const [name, device] of this.enrolled) {
      if (this.rows.has(name) || !device.enabled || heard < this.total) continue;
      const row = { device_id: name, freshness: "never", event: null };
      this.rows.set(name, row);
      this.#describe(row);
    }
  }
}
