/** Moments and durations in words, and one clock that keeps those on the page right. */

const UNITS = [
  [86_400, "d", "day"],
  [3_600, "h", "hour"],
  [60, "min", "minute"],
  [1, "s", "second"],
];

/**
 * A duration, short: "3 min", "2 h 5 min".
 * @param {number} seconds
 */
export function lasting(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const place = UNITS.findIndex(([size]) => whole >= size);
  if (place === -1) return "0 s";
  const [size, unit] = UNITS[place];
  const next = UNITS[place + 1];
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  return rest && unit !== "min"
    ? `${Math.floor(whole / size)} ${unit} ${rest} ${next[1]}`
    : `${Math.floor(whole / size)} ${unit}`;
}

/** A duration in fractions of a second. */
export function briefly(milliseconds) {
  return milliseconds < 1_000
    ? `${Math.round(milliseconds)} ms`
    : milliseconds < 60_000
      ? `${(milliseconds / 1_000).toFixed(1)} s`
      : lasting(milliseconds / 1_000);
}

/** Seconds since a moment of the wire; negative where it is to come. */
export function since(moment, now = Date.now()) {
  return (now - Date.parse(moment)) / 1_000;
}

/** The moment as a person writes it, in their own zone. */
export function written(moment) {
  const date = new Date(moment);
  return Number.isNaN(date.getTime())
    ? ""
    : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
}

const ticking = new Map();

/**
 * Keeps the element's text right, once a second, for as long as it is on the page.
 * @param {HTMLElement} element
 * @param {() => string} text
 */
export function tick(element, text) {
  ticking.set(element, { text, wasThere: false });
  element.textContent = text();
  return element;
}

/** "3 min ago", kept right. */
export function ago(element, moment) {
  element.title = written(moment);
  element.dateTime = moment;
  return tick(element, () => (since(moment) < 5 ? "just now" : `${lasting(since(moment))} ago`));
}

function beat() {
  for (const [element, entry] of ticking) {
    if (!element.isConnected) {
      if (entry.wasThere) ticking.delete(element);
      continue;
    }
    entry.wasThere = true;
    const text = entry.text();
    if (element.textContent !== text) element.textContent = text;
  }
}

if (typeof window !== "undefined") setInterval(beat, 1_000);
