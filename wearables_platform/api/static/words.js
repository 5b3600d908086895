// Numbers and times as people read them.

export function number(value, digits) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** How long before `now` (both in ms) something was. */
export function ago(then, now) {
  const seconds = (now - then) / 1000;
  if (seconds < -1.5) return `${span(-seconds)} ahead`;
  return seconds < 1.5 ? "now" : `${span(seconds)} ago`;
}

export function span(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

export function clock(iso) {
  const time = new Date(iso);
  return Number.isNaN(time.valueOf()) ? "" : time.toISOString().slice(11, 23);
}

export function day(iso) {
  return new Date(iso).toISOString().slice(0, 10);
}
