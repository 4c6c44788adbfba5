/** Answers on their way to the server: sent once, told apart when they fail. */

import { ApiError, at, newKey, post } from "./api.js";
import { write } from "./json.js";
import { questions } from "./questions.js";
import { givenName } from "./session.js";

/**
 * What became of an answer.
 * @typedef {{kind: "won"|"lost"|"changed"|"invalid"|"failed", message?: string,
 *   problems?: {path: string, message: string}[]}} Outcome
 */

/** The answers to one question: the same one again is the same request, so a lost reply does no harm. */
export class Answering {
  constructor(id) {
    this.id = id;
    this.keys = new Map();
  }

  /**
   * Sends an answer.
   * @param {Object} body of POST /interrupts/{id}/resolve
   * @returns {Promise<Outcome>}
   */
  async send(body) {
    const by = givenName();
    const sent = by ? { ...body, by } : body;
    const text = write(sent);
    const key = this.keys.get(text) ?? newKey();
    this.keys.set(text, key);
    try {
      questions.put(await post(at`/interrupts/${this.id}/resolve`, sent, { key }));
      return { kind: "won" };
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 0) this.keys.delete(text);
      return this.refused(error);
    }
  }

  /** @param {ApiError} error */
  async refused(error) {
    if (error.code === "already_resolved") return this.lost(error);
    if (error.code === "conflict") return this.changed(error);
    if (error.status === 400 || error.status === 422)
      return { kind: "invalid", message: error.message, problems: problemsOf(error) };
    return { kind: "failed", message: error.message };
  }

  async lost(error) {
    if (error.body.winner?.id) questions.put(error.body.winner);
    else await questions.settle(this.id);
    return { kind: "lost", message: error.message };
  }

  async changed(error) {
    await questions.settle(this.id);
    return { kind: "changed", message: error.message };
  }
}

function problemsOf(error) {
  const found = error.body.errors ?? error.body.error?.meta?.errors;
  return Array.isArray(found)
    ? found.map((each) => ({ path: String(each.path ?? ""), message: String(each.message ?? each) }))
    : [];
}

/** Whose answer it was. */
function whose(question) {
  const { resolved_as: said, resolved_by: proven } = question;
  if (said && proven && said !== proven) return `${said} (${proven === "local" ? "as they say" : proven})`;
  return said || proven || "somebody";
}

const DONE = {
  approved: "approved",
  edited: "approved with other arguments",
  rejected: "rejected",
  responded: "answered",
  expired: "denied: nobody answered in time",
};

/**
 * What was decided, in a sentence.
 * @param {import("./questions.js").Question} question
 * @param {{isLate?: boolean}} [options] `isLate`: told to somebody who was about to answer too
 */
export function outcome(question, { isLate = false } = {}) {
  const already = isLate ? "already " : "";
  if (question.status === "cancelled") return capital(`${already}withdrawn: nobody needs to answer any more`);
  if (question.status === "expired" || question.decision === "expired") return capital(`${already}${DONE.expired}`);
  const decision = question.decision ?? (question.resolution === "deny" ? "rejected" : "approved");
  if (decision === "edited") return capital(`${already}approved by ${whose(question)}, with other arguments`);
  return capital(`${already}${DONE[decision] ?? decision} by ${whose(question)}`);
}

function capital(sentence) {
  return sentence[0].toUpperCase() + sentence.slice(1);
}
