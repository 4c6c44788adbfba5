/** JSON that keeps whole numbers whole: what a person approves is what the server has, to the last digit. */

/**
 * A number that a double cannot hold exactly, as it was written.
 */
export class Exact {
  /** @param {string} source */
  constructor(source) {
    this.source = source;
  }

  toString() {
    return this.source;
  }
}

const LONG = /\d{16}/; // only then can a double be wrong
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * The value of a JSON text; raises SyntaxError.
 * @param {string} text
 * @returns {any}
 */
export function parse(text) {
  if (!LONG.test(text)) return JSON.parse(text);
  JSON.parse(text); // what is no JSON is refused as it is, not with marks in it
  const mark = unguessable();
  const marked = text.replace(TOKEN, (token) =>
    token[0] === '"' || isFaithful(token) ? token : JSON.stringify(mark + token),
  );
  return JSON.parse(marked, (_key, value) =>
    typeof value === "string" && value.startsWith(mark) ? new Exact(value.slice(mark.length)) : value,
  );
}

/**
 * The JSON text of a value; with `indent` on several lines.
 * @param {any} value
 * @param {number} [indent]
 */
export function write(value, indent = 0) {
  const mark = unguessable();
  let isMarked = false;
  const told = (_key, each) => (each instanceof Exact ? ((isMarked = true), mark + each.source) : each);
  const text = JSON.stringify(value, told, indent) ?? "null";
  return isMarked ? text.replace(new RegExp(`"${mark}([^"]+)"`, "g"), "$1") : text;
}

function isFaithful(number) {
  return /^-?\d+$/.test(number) ? Number.isSafeInteger(Number(number)) : Number.isFinite(Number(number));
}

/** What no text that came from elsewhere begins with. */
function unguessable() {
  return [...crypto.getRandomValues(new Uint32Array(4))].map((each) => each.toString(36)).join("-");
}

/** Whether two values are the same JSON; the order of members does not count. */
export function same(one, other) {
  if (one === other) return true;
  if (one instanceof Exact || other instanceof Exact) return String(one) === String(other);
  if (typeof one !== "object" || typeof other !== "object" || one === null || other === null) return false;
  if (Array.isArray(one) !== Array.isArray(other)) return false;
  const names = Object.keys(one);
  return (
    names.length === Object.keys(other).length &&
    names.every((name) => Object.hasOwn(other, name) && same(one[name], other[name]))
  );
}

/** Whether the value is a JSON object. */
export function isObject(value) {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Exact);
}
