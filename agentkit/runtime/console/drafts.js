/** What was typed and not sent: kept over a reload, for as long as the tab is open. */

const STEM = "agentkit.draft.";

/** @returns {Object} what was typed there; {} where nothing was */
export function draft(name) {
  try {
    return JSON.parse(sessionStorage.getItem(STEM + name)) ?? {};
  } catch {
    return {};
  }
}

/** Keeps these members of a draft beside the others; undefined forgets one. */
export function keep(name, members) {
  const kept = Object.fromEntries(
    Object.entries({ ...draft(name), ...members }).filter(([, value]) => value !== undefined && value !== ""),
  );
  try {
    if (Object.keys(kept).length) sessionStorage.setItem(STEM + name, JSON.stringify(kept));
    else sessionStorage.removeItem(STEM + name);
  } catch {
    /* a full or forbidden storage: the page still works, a reload forgets */
  }
}

/** Forgets a draft. */
export function forget(name) {
  sessionStorage.removeItem(STEM + name);
}

/** Forgets all drafts: somebody else may be at this machine next. */
export function forgetAll() {
  for (const key of Object.keys(sessionStorage)) if (key.startsWith(STEM)) sessionStorage.removeItem(key);
}
