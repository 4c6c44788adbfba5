/** Who is at this page: found out once, signed in and out. */

import { call, get, post } from "./api.js";

/**
 * @typedef {{needs_key: boolean, signed_in: boolean, name: string|null, groups: string[]|null, scopes: string[],
 *   version: string}} Session
 */

const NAME = "agentkit.name";

/** @type {Session} */
let current = { needs_key: true, signed_in: false, name: null, groups: null, scopes: [], version: "" };

/** Who it is, as far as is known. */
export const session = () => current;

/** Whether the pages can be shown. */
export const isWelcome = () => current.signed_in || !current.needs_key;

/** Asks the server who it is. Raises ApiError. */
export async function load() {
  current = await get("/console/session");
  return current;
}

/** Exchanges a key for a cookie. Raises ApiError. */
export async function signIn(apiKey) {
  await post("/console/session", { api_key: apiKey });
  return load();
}

/** The cookie counts no more. Raises ApiError. */
export async function signOut() {
  await call("DELETE", "/console/session");
  current = { ...current, signed_in: false, name: null };
}

/** The cookie ran out, or was taken back. */
export function expire() {
  current = { ...current, signed_in: false };
}

/** Whether the key's scopes allow this; without any, everything. */
export function may(scope) {
  const scopes = current.scopes ?? [];
  const [group, verb] = scope.split(":");
  const implied = ["*", "all", group, scope, ...(verb === "read" ? [`${group}:write`] : [])];
  return scopes.length === 0 || implied.some((each) => scopes.includes(each));
}

/** The name that somebody gave who needs no key, so that answers can say whose they are. */
export const givenName = () => (current.needs_key ? "" : (localStorage.getItem(NAME) ?? ""));

/** Remembers the name on this machine. */
export function giveName(name) {
  if (name.trim()) localStorage.setItem(NAME, name.trim());
  else localStorage.removeItem(NAME);
}

/** Whether one of these groups is ours; where nobody is told apart, everybody is in. */
export function isAmong(groups) {
  if (!groups || groups.length === 0 || !current.needs_key || current.groups === null || current.groups === undefined)
    return true;
  return groups.some((each) => current.groups.includes(each));
}
