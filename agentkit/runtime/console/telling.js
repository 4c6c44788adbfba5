/** What is told of a question beside its arguments: its name, who may answer, what was said, what became of it. */

import { outcome } from "./answering.js";
import { readable } from "./arguments.js";
import { changes } from "./diff.js";
import { h } from "./dom.js";
import { isObject, write } from "./json.js";
import { drawnChange } from "./panels.js";
import { isAmong, may } from "./session.js";
import { lasting, since, tick, written } from "./times.js";

/** @typedef {import("./questions.js").Question} Question */

const PROSE = { lenient: true };
const SAID = 2; // messages before the call
const ROLES = { user: "User", assistant: "Agent" };
const LABELS = {
  unknown: "Outcome unknown",
  approval: "Approval",
  form: "Question",
  widget: "Form",
  confirm: "Question",
};

/**
 * The tool, by the name that people know and by its own, and what kind of question it is.
 * @param {Question} question
 * @param {string} kind
 */
export function named({ meta, context }, kind) {
  const tool = String(meta.tool_name || meta.event || "Question");
  const display = context?.display_name && context.display_name !== tool ? context.display_name : null;
  return [
    display && h("span", {}, ...readable(display)),
    h("span", { class: display ? "tool muted" : "tool" }, ...readable(tool)),
    h("span", { class: `badge is-${kind}`, text: LABELS[kind] }),
  ];
}

/**
 * Whose agent asks, for how long, until when, and whom.
 * @param {Question} question
 */
export function facts({ status, created_at: asked, expires_at: expires, context, ...rest }) {
  const agent = context?.agent_name ? h("span", {}, ...readable(context.agent_name)) : null;
  if (status !== "pending") return [agent, h("span", { text: written(asked) })];
  const waits = h("span", { title: written(asked) });
  tick(waits, () => `waits ${lasting(since(asked))}`);
  return [agent, waits, expires ? deadline(expires) : null, ...people(rest)];
}

function deadline(expires) {
  const told = () => (since(expires) < 0 ? `denied in ${lasting(-since(expires))}` : "time is up");
  return tick(h("span", { class: "expires", title: written(expires) }), told);
}

/** Who may answer, whether that is us, and how often they were told. */
function people({ approvers, is_escalated: isEscalated, reminders }) {
  const groups = approvers?.join(", ");
  const isOurs = isAmong(approvers);
  return [
    groups && isOurs && h("span", { text: `for ${groups}` }),
    groups && !isOurs && h("span", { class: "warning", text: `only for ${groups} (you are not one of them)` }),
    isEscalated && h("span", { class: "warning", text: "escalated" }),
    reminders > 0 && h("span", { text: reminders === 1 ? "reminded once" : `reminded ${reminders} times` }),
    !may("approvals:write") && h("span", { class: "warning", text: "this key may look, not answer" }),
  ];
}

/**
 * What the tool does, where the call goes, and, where the chat itself is not seen, what was said last.
 * @param {Object} context of GET /interrupts/{id}
 * @param {{isInChat: boolean}} options
 */
export function background({ description, target, messages }, { isInChat }) {
  const last = isInChat ? [] : (messages ?? []).slice(-SAID);
  return [
    description && h("p", { class: "about" }, ...readable(description, PROSE)),
    target && h("p", { class: "target" }, "Goes to ", h("code", {}, ...readable(target))),
    last.length > 0 && h("div", { class: "words", "aria-label": "Said before" }, ...last.map(word)),
  ];
}

function word({ role, text }) {
  const by = h("span", { class: "role", text: ROLES[role] ?? role });
  return h("div", { class: "word" }, by, h("p", {}, ...readable(text, PROSE)));
}

/**
 * What became of it: who decided what, when, with which note, and with which other arguments.
 * @param {Question} question
 * @param {{isLate: boolean}} options `isLate`: told to somebody who was about to answer too
 */
export function ending(question, { isLate }) {
  const { note, resolved_at: at, resolved_data: data, decision } = question;
  const answer = decision === "responded" && data !== null && data !== undefined ? data : null;
  const edits = edited(question).map(drawnChange);
  return [
    h("span", { class: "done" }, ...readable(outcome(question, { isLate }), PROSE)),
    at && h("time", { datetime: at, class: "muted", text: written(at) }),
    note && h("span", { class: "quoted" }, "\u201c", ...readable(note, PROSE), "\u201d"),
    answer !== null && h("span", { class: "quoted" }, ...readable(typeof answer === "string" ? answer : write(answer))),
    edits.length > 0 && h("span", { class: "diff" }, ...edits),
  ];
}

/** What was changed before the call was approved. */
function edited({ edited_from: before, resolved_data: data, meta }) {
  if (!before) return [];
  return changes(before, isObject(data) ? data : (meta.arguments ?? {})).filter((each) => each.kind !== "same");
}
