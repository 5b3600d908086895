// Numbers and times as people read them.

export function number(value, digits) {
  return value === null || value === undefined ? "–" : value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

export function percent(share) {
  return share === null || share === undefined ? "–" : `${number(100 * share, 0)} %`;
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

/** An instant with its day where that is not today's, to the second, UTC. */
export function moment(iso, now) {
  const time = `${clock(iso).slice(0, 8)} UTC`;
  return day(iso) === day(now) ? time : `${day(iso)} ${time}`;
}

/** A row of a table: texts, or elements. */
export function tableRow(...cells) {
  const row = document.createElement("tr");
  cells.forEach((content, place) => {
    const cell = document.createElement(place === 0 ? "th" : "td");
    if (place === 0) cell.scope = "row";
    cell.append(content);
    row.append(cell);
  });
  return row;
}

/** A share as a bar with its figure, which is what screen readers read. */
export function shareBar(share) {
  const bar = document.createElement("span");
  bar.className = "share";
  const fill = document.createElement("span");
  fill.style.width = `${Math.round(100 * (share ?? 0))}%`;
  const figure = document.createElement("span");
  figure.textContent = percent(share);
  bar.append(fill, figure);
  return bar;
}
