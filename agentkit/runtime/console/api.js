/** The platform's REST API, as this page calls it: with its cookie, and the header that makes the cookie count. */

import { parse, write } from "./json.js";

export const HEADERS = { "X-Agentkit-Console": "1", "X-API-Version": "2" };

/** What the platform refused; `code` is the problem's, `body` all of it. Status 0: it could not be reached. */
export class ApiError extends Error {
  /**
   * @param {number} status
   * @param {Object} body
   */
  constructor(status, body) {
    super(body.detail || body.title || body.error?.message || body.message || `The server answered ${status}.`);
    this.status = status;
    this.body = body;
    this.code = String(body.type ?? "").split("/errors/")[1] ?? body.error?.code ?? "";
  }
}

const strangers = new Set();

/** Calls `listener` whenever the platform does not know who asks. */
export function onUnauthorized(listener) {
  strangers.add(listener);
}

/** Tells that the platform does not know who asks. */
export function tellUnauthorized() {
  for (const listener of strangers) listener();
}

/**
 * One request; its answer as JSON. Raises ApiError.
 * @param {string} method
 * @param {string} path
 * @param {{body?: any, query?: Object, key?: string, signal?: AbortSignal}} [options] `key` is an Idempotency-Key
 * @returns {Promise<any>}
 */
export async function call(method, path, { body, query, key, signal } = {}) {
  const headers = { ...HEADERS, Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (key) headers["Idempotency-Key"] = key;
  const sent = {
    method,
    headers,
    signal,
    credentials: "same-origin",
    cache: "no-store",
    body: body === undefined ? undefined : write(body),
  };
  const response = await reached(path + suffix(query), sent);
  const found = await read(response, signal);
  if (response.ok) return found;
  if (response.status === 401 && path !== "/console/session") tellUnauthorized();
  throw new ApiError(response.status, typeof found === "object" && found !== null ? found : {});
}

/** GET. */
export const get = (path, options) => call("GET", path, options);

/** POST with a JSON body. */
export const post = (path, body = {}, options = {}) => call("POST", path, { ...options, body });

/**
 * The bytes of one of the platform's files, for showing or saving. Raises ApiError.
 * @param {string} id
 * @returns {Promise<Blob>}
 */
export async function fileContent(id) {
  const response = await reached(`/files/${encodeURIComponent(id)}/content`, {
    headers: HEADERS,
    credentials: "same-origin",
  });
  if (!response.ok) throw new ApiError(response.status, {});
  return response.blob();
}

/** A new Idempotency-Key. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((each) => each.toString(16).padStart(2, "0")).join("");
}

/** A path of the API with what it names. */
export function at(strings, ...values) {
  return strings.reduce((path, piece, place) => path + encodeURIComponent(values[place - 1]) + piece);
}

async function reached(address, sent) {
  try {
    return await fetch(address, sent);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { detail: "The server cannot be reached. What you typed is kept; try again." });
  }
}

async function read(response) {
  let text = "";
  try {
    text = await response.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, {
      detail: "The connection was lost before the answer was there. Try again: nothing is done twice.",
    });
  }
  try {
    return text === "" ? null : parse(text);
  } catch {
    return response.ok ? text : { detail: text.slice(0, 500) };
  }
}

function suffix(query) {
  const given = Object.entries(query ?? {}).filter(
    ([, value]) => value !== undefined && value !== null && value !== "",
  );
  return given.length ? `?${new URLSearchParams(given)}` : "";
}
