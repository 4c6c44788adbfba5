/**
 * What opens below a question: the edit form with its diff, the response, the rules of "always allow". A panel has an
 * `element`, and `actions` that take the place of the question's own buttons.
 */

import { readable } from "./arguments.js";
import { changes } from "./diff.js";
import { fill, fresh, h, say } from "./dom.js";
import { Form } from "./forms.js";
import { parse, same } from "./json.js";

/** The arguments, to be changed before the call is approved. */
export class EditPanel {
  /**
   * @param {Object} args what was asked about
   * @param {Object|null} schema
   * @param {{draft?: Object, onInput: () => void, onSend: (args: Object) => void, onClose: () => void}} options
   */
  constructor(args, schema, { draft, onInput, onSend, onClose }) {
    this.args = args;
    const changed = () => (this.compare(), onInput());
    this.form = new Form(schema, args, { onInput: changed, draft });
    this.diff = h("div", { class: "diff", testid: "diff", "aria-live": "polite" });
    this.problem = h("p", { class: "problem", role: "alert" });
    this.button = h("button", {
      type: "button",
      class: "primary",
      testid: "send-edit",
      on: { click: () => this.send(onSend) },
    });
    const close = h("button", { type: "button", text: "Cancel", on: { click: onClose } });
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Edit the arguments" },
      this.form.element,
      h("h4", { text: "What changes" }),
      this.diff,
      this.problem,
    );
    this.actions = [this.button, close];
    this.compare();
  }

  compare() {
    const { value, isValid } = this.form.read();
    if (!isValid) return this.tell("Some fields cannot be read yet.", "Approve these arguments");
    const changed = changes(this.args, value).filter((each) => each.kind !== "same");
    if (changed.length === 0) return this.tell("Nothing is changed yet.", "Approve as it is");
    fill(this.diff, ...changed.map(drawnChange));
    say(this.button, "Approve these arguments");
  }

  tell(sentence, label) {
    fill(this.diff, h("p", { class: "muted", text: sentence }));
    say(this.button, label);
  }

  send(onSend) {
    const { value, isValid } = this.form.read();
    say(this.problem, isValid ? "" : "Please put the marked fields right first.");
    if (isValid) onSend(same(value, this.args) ? null : value);
  }

  /** Shows what the server found wrong. */
  refuse(message, problems) {
    const left = this.form.refuse(problems);
    say(this.problem, [message, ...left.map((each) => `${each.path} ${each.message}`)].join(" \u2014 "));
  }

  draft = () => this.form.texts();
  focus = () => this.form.focus();
}

/** What turns one argument into another. */
export function drawnChange({ name, kind, pieces }) {
  const how = { added: "added", removed: "left out", changed: "" }[kind];
  return h(
    "div",
    { class: "change", "data-name": name },
    h("span", { class: "name" }, ...readable(name), how && h("span", { class: "muted", text: ` ${how}` })),
    h(
      "div",
      { class: "pieces" },
      ...pieces.map((each) => h({ removed: "del", added: "ins", same: "span" }[each.kind], {}, ...readable(each.text))),
    ),
  );
}

/** What the call would have returned, said by a person instead. */
export class RespondPanel {
  constructor({ draft = "", isUnknown, onInput, onSend, onClose }) {
    const id = fresh("response");
    this.area = h("textarea", { id, rows: 4, testid: "respond-text", on: { input: onInput } });
    this.area.value = draft;
    this.problem = h("p", { class: "problem", role: "alert" });
    const told = isUnknown
      ? "What came of the call; the model reads it as the result."
      : "The call is not run; the model reads this as its result. Text, or JSON as it is.";
    this.button = h("button", {
      type: "button",
      class: "primary",
      testid: "send-respond",
      text: "Send as the result",
      on: { click: () => this.send(onSend) },
    });
    const close = h("button", { type: "button", text: "Cancel", on: { click: onClose } });
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Respond instead of running" },
      h("label", { for: id, text: "Result" }),
      h("p", { class: "about", text: told }),
      this.area,
      this.problem,
    );
    this.actions = [this.button, close];
  }

  send(onSend) {
    if (this.area.value.trim() === "") return say(this.problem, "Please write the result first.");
    say(this.problem, "");
    onSend(jsonOrText(this.area.value));
  }

  refuse(message, problems) {
    say(this.problem, [message, ...problems.map((each) => `${each.path} ${each.message}`)].join(" \u2014 "));
  }

  draft = () => this.area.value;
  focus = () => this.area.focus();
}

/** JSON objects and arrays are meant as what they are; everything else is text. */
function jsonOrText(text) {
  if (!/^\s*[[{]/.test(text)) return text;
  try {
    return parse(text);
  } catch {
    return text;
  }
}

const LASTING = [
  ["", "for the rest of the chat"],
  ["900", "for 15 minutes"],
  ["3600", "for an hour"],
  ["86400", "for a day"],
];

/** Which later calls need no question any more. */
export class AlwaysPanel {
  /**
   * @param {{options: {option: Object, label: string}[], onSend: (always: Object) => void,
   *   onClose: () => void}} options
   */
  constructor({ options, onSend, onClose }) {
    const name = fresh("always");
    this.options = options;
    this.radios = options.map((each, place) =>
      h("input", { type: "radio", name, value: String(place), testid: `always-${each.option.scope ?? place}` }),
    );
    if (this.radios.length) this.radios[0].checked = true;
    const labels = this.radios.map((each, place) =>
      h("label", {}, each, h("span", {}, ...readable(String(options[place].label ?? options[place].option.scope)))),
    );
    const seconds = h(
      "select",
      { "aria-label": "For how long", testid: "always-for" },
      ...LASTING.map(([value, text]) => h("option", { value, text })),
    );
    this.problem = h("p", { class: "problem", role: "alert" });
    this.button = h("button", {
      type: "button",
      class: "primary",
      testid: "send-always",
      text: "Approve, and do not ask again for these",
      on: { click: () => onSend(this.chosen(seconds.value)) },
    });
    const close = h("button", { type: "button", text: "Cancel", on: { click: onClose } });
    const told = options.length
      ? "Later calls in this chat that fit need no answer:"
      : "There is no rule that would fit this call.";
    const choices = h("div", { class: "choices", role: "radiogroup", "aria-label": "Which calls" }, ...labels);
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Always allow" },
      h("p", { class: "about", text: told }),
      choices,
      options.length ? seconds : null,
      this.problem,
    );
    this.actions = options.length ? [this.button, close] : [close];
  }

  chosen(seconds) {
    const { option } = this.options[Number(this.radios.find((each) => each.checked)?.value ?? 0)];
    return seconds ? { ...option, seconds: Number(seconds), expires_at: undefined } : option;
  }

  refuse(message, problems) {
    say(this.problem, [message, ...problems.map((each) => each.message)].join(" \u2014 "));
  }

  draft = () => undefined;
  focus = () => this.radios[0]?.focus();
}
