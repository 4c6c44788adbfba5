/** A question as a card: what is asked, who may answer, and every way to. The same in the inbox and in a chat. */

import { readable, rows } from "./arguments.js";
import { Answering } from "./answering.js";
import { fill, fresh, h, link, outside, say } from "./dom.js";
import { draft, forget, keep } from "./drafts.js";
import { Form } from "./forms.js";
import { AlwaysPanel, EditPanel, RespondPanel } from "./panels.js";
import { chatPath, questions } from "./questions.js";
import { background, ending, facts, named } from "./telling.js";
import { drawn } from "./widget.js";

const SETTLE_MS = 600; // a key pressed just as the arguments changed was meant for the ones before

/**
 * What kind of answer a question wants.
 * @param {import("./questions.js").Question} question
 * @returns {"unknown"|"approval"|"form"|"widget"|"confirm"}
 */
function kindOf({ reason, meta, answer_schema: schema }) {
  if (meta?.unknown_outcome) return "unknown";
  if (reason === "tool_approval" || reason === "hook_gate") return "approval";
  if (schema) return "form";
  return meta?.widget ? "widget" : "confirm";
}

/** One question's card. `element` stays the same for as long as the page does; `update` brings news. */
export class Card {
  /**
   * @param {import("./questions.js").Question} question
   * @param {{isInChat?: boolean}} [options]
   */
  constructor(question, { isInChat = false } = {}) {
    this.question = question;
    this.isInChat = isInChat;
    this.answering = new Answering(question.id);
    this.name = `question.${question.id}`;
    this.panel = null;
    this.isLate = false;
    this.shownAt = performance.now();
    this.title = h("h3", { id: fresh("question") });
    this.told = h("div", { class: "told" });
    this.notice = h("p", { class: "notice", role: "alert", testid: "notice" });
    this.said = h("div", { class: "said" });
    this.body = h("div", { class: "asked" });
    this.slot = h("div", {});
    this.foot = h("div", { class: "answer" });
    this.result = h("p", { class: "outcome", role: "status", testid: "winner" });
    this.element = h(
      "article",
      {
        class: isInChat ? "card is-in-chat" : "card",
        testid: "inbox-card",
        tabindex: "-1",
        "aria-labelledby": this.title.id,
        data: { row: "", id: question.id },
      },
      h(
        "div",
        { class: "top" },
        this.title,
        isInChat ? null : link(chatPath(question), "Open the chat", { class: "open", testid: "open-chat" }),
      ),
      this.told,
      this.result,
      this.notice,
      this.said,
      this.body,
      this.slot,
      this.foot,
    );
    this.element.card = this;
    this.build();
  }

  /** Takes in what is known of the question now. */
  update(question) {
    const was = this.question;
    this.question = question;
    if (was.status === "pending" && question.status !== "pending" && !this.isSending) return this.close();
    if (question.status !== "pending") return;
    const isOther = was.arguments_hash !== question.arguments_hash;
    if (isOther) this.reset();
    if (
      isOther ||
      was.is_escalated !== question.is_escalated ||
      was.reminders !== question.reminders ||
      was.expires_at !== question.expires_at
    )
      this.buildHead();
    if (question.context && was.context !== question.context) this.buildContext();
    if (!question.context && isOther) this.brief();
  }

  /** Fetches what helps to decide, once. */
  async brief() {
    if (this.question.context) return;
    this.briefing ??= questions.fetch(this.question.id).catch((error) => console.info("question", error.message));
    await this.briefing;
    this.briefing = null;
  }

  get isPending() {
    return this.question.status === "pending";
  }

  // -- what is asked ------------------------------------------------------------------------------------------------

  build() {
    this.kind = kindOf(this.question);
    this.element.classList.toggle("is-unknown", this.kind === "unknown");
    this.buildHead();
    this.buildContext();
    this.buildBody();
    if (!this.isPending) return this.close();
    this.buildFoot();
    this.reopen();
  }

  buildHead() {
    fill(this.title, ...named(this.question, this.kind));
    fill(this.told, ...facts(this.question));
  }

  buildContext() {
    if (!this.question.context) return;
    this.buildHead();
    fill(this.said, ...background(this.question.context, { isInChat: this.isInChat }));
  }

  buildBody() {
    const { meta } = this.question;
    this.form = null;
    const parts = [];
    if (this.kind === "unknown")
      parts.push(
        h(
          "p",
          { class: "warning", testid: "unknown-outcome" },
          h("strong", { text: "This call may have run already. " }),
          ...readable(String(meta.why ?? "Nobody knows what came of it."), { lenient: true }),
        ),
      );
    const asked = meta.question ?? meta.message;
    if (asked) parts.push(h("p", { class: "question" }, ...readable(String(asked), { lenient: true })));
    if (meta.reason && this.question.reason === "hook_gate")
      parts.push(h("p", { class: "question" }, ...readable(String(meta.reason), { lenient: true })));
    if (meta.url) parts.push(h("p", {}, "Opens: ", outside(String(meta.url))));
    if (this.hasArguments()) parts.push(h("div", { testid: "arguments" }, rows(this.args(), { testid: "arg-" })));
    if (this.isPending && this.kind === "form") parts.push(this.answerForm());
    if (this.isPending && this.kind === "widget") parts.push(this.answerWidget());
    fill(this.body, ...parts);
  }

  hasArguments() {
    const asksAboutCall = this.kind === "approval" || this.kind === "unknown";
    return asksAboutCall && typeof this.question.meta.arguments === "object" && this.question.meta.arguments !== null;
  }

  args() {
    return this.question.meta.arguments ?? {};
  }

  answerForm() {
    this.form = new Form(this.question.answer_schema, undefined, {
      onInput: () => keep(this.name, { form: this.form.texts() }),
      draft: draft(this.name).form,
    });
    return h("div", { class: "answer-form" }, this.form.element);
  }

  answerWidget() {
    const surface = drawn(this.question.meta.widget, (data) => this.send({ decision: "allow", data }), {
      draft: draft(this.name).widget,
      onInput: () => keep(this.name, { widget: surface.texts() }),
    });
    return surface.element;
  }

  // -- how it is answered -------------------------------------------------------------------------------------------

  buildFoot() {
    const id = fresh("note");
    const isCall = this.kind === "approval" || this.kind === "unknown";
    this.note = h("input", {
      id,
      type: "text",
      testid: "note",
      autocomplete: "off",
      placeholder: isCall ? "The model reads the note of a rejection" : "",
      on: { input: () => keep(this.name, { note: this.note.value }) },
    });
    this.note.value = draft(this.name).note ?? "";
    this.buttons = Object.entries(this.choices()).map(([name, [label, act, style]]) =>
      h("button", { type: "button", class: style, testid: name, on: { click: act } }, label),
    );
    this.actions = h("div", { class: "actions" }, ...this.buttons);
    fill(this.foot, h("div", { class: "note" }, h("label", { for: id, text: "Note" }), this.note), this.actions);
  }

  /** The buttons of this kind of question: label, deed, look. */
  choices() {
    const reject = (label) => [label, () => this.reject()];
    if (this.kind === "unknown")
      return {
        approve: ["Run it again", () => this.approve()],
        reject: reject("Do not run it"),
        respond: ["I know the result", () => this.enter("respond"), "primary"],
      };
    if (this.kind === "form")
      return { respond: ["Send the answer", () => this.sendForm(), "primary"], reject: reject("Decline") };
    if (this.kind === "widget") return { reject: reject("Close without an answer") };
    if (this.kind === "confirm")
      return { approve: ["Go on", () => this.approve(), "primary"], reject: reject("Decline") };
    const isGate = this.question.reason === "hook_gate";
    const edit = this.hasArguments() ? { edit: ["Edit\u2026", () => this.enter("edit")] } : {};
    const more = isGate
      ? {}
      : {
          respond: ["Respond\u2026", () => this.enter("respond")],
          always: ["Always allow\u2026", () => this.enter("always")],
        };
    return {
      approve: ["Approve", () => this.approve(), "primary"],
      ...edit,
      reject: ["Reject", () => this.reject()],
      ...more,
    };
  }

  /** What a key does: the same as its button. Just after the arguments changed, nothing. */
  press(name) {
    if (!this.isPending || performance.now() - this.shownAt < SETTLE_MS) return;
    this.foot.querySelector(`[data-testid="${name}"]`)?.click();
  }

  approve() {
    this.send({ decision: "allow" });
  }

  reject() {
    this.send({ decision: "deny" });
  }

  sendForm() {
    const { value, isValid } = this.form.read();
    if (!isValid) return this.tell("Please put the marked fields right first.");
    this.send({ decision: "allow", data: value });
  }

  async send(body) {
    const note = this.note.value.trim();
    const hash = this.question.arguments_hash;
    const focused = this.element.contains(document.activeElement) ? document.activeElement : null;
    this.tell("");
    this.busy(true); // a button that is disabled loses the focus
    const done = await this.answering.send({
      ...body,
      ...(note ? { note } : {}),
      ...(hash ? { arguments_hash: hash } : {}),
    });
    this.busy(false);
    if (focused && document.activeElement === document.body)
      (focused.isConnected ? focused : this.element).focus({ preventScroll: true });
    if (done.kind === "won") forget(this.name);
    this.isLate = done.kind === "lost";
    if (!this.isPending) return this.close();
    if (done.kind === "changed")
      this.tell("The arguments changed while you were looking. These are the new ones; please read them again.");
    if (done.kind === "failed") this.tell(done.message);
    if (done.kind === "invalid") this.refuse(done);
  }

  refuse({ message, problems }) {
    if (this.panel) return this.panel.refuse(message, problems);
    const left = this.form ? this.form.refuse(problems) : problems;
    this.tell([message, ...left.map((each) => `${each.path} ${each.message}`)].join(" \u2014 "));
  }

  tell(message) {
    say(this.notice, message);
  }

  busy(isBusy) {
    this.isSending = isBusy;
    this.element.toggleAttribute("aria-busy", isBusy);
    for (const each of this.element.querySelectorAll("button")) each.disabled = isBusy;
  }

  // -- panels -------------------------------------------------------------------------------------------------------

  async enter(kind) {
    await this.brief();
    if (!this.isPending) return;
    this.show(kind);
    this.panel.focus();
  }

  show(kind) {
    const kept = draft(this.name);
    const typed = kept.hash && kept.hash !== this.question.arguments_hash ? {} : kept;
    const onClose = () => this.shut();
    const onInput = () => keep(this.name, { [kind]: this.panel?.draft(), hash: this.question.arguments_hash });
    const panels = {
      edit: () =>
        new EditPanel(this.args(), this.question.context?.input_schema ?? null, {
          draft: typed.edit,
          onInput,
          onClose,
          onSend: (args) => this.send({ decision: "allow", ...(args === null ? {} : { arguments: args }) }),
        }),
      respond: () =>
        new RespondPanel({
          draft: typed.respond,
          isUnknown: this.kind === "unknown",
          onInput,
          onClose,
          onSend: (data) => this.send({ decision: "respond", data }),
        }),
      always: () =>
        new AlwaysPanel({
          options: narrowed(this.question.context?.always ?? []),
          onClose,
          onSend: (always) => this.send({ decision: "allow", always }),
        }),
    };
    this.panel = Object.assign(panels[kind](), { kind });
    fill(this.slot, this.panel.element);
    fill(this.actions, ...this.panel.actions);
    this.body.hidden = kind === "edit";
    keep(this.name, { panel: kind === "always" ? undefined : kind });
  }

  /** Closes the panel. What was typed is forgotten by its button, and there again after Escape. */
  shut({ isKept = false } = {}) {
    if (!this.panel) return false;
    keep(this.name, isKept ? { panel: undefined } : { [this.panel.kind]: undefined, panel: undefined });
    this.unpanel();
    this.element.focus({ preventScroll: true });
    return true;
  }

  /** The question as it is without a panel. */
  unpanel() {
    this.panel = null;
    fill(this.slot);
    fill(this.actions, ...this.buttons);
    this.body.hidden = false;
  }

  /** Opens what was open before a reload, if something was typed there. */
  async reopen() {
    const { panel, hash, ...typed } = draft(this.name);
    if (!panel || typed[panel] === undefined || (hash && hash !== this.question.arguments_hash)) return;
    await this.brief();
    if (this.isPending && !this.panel) this.show(panel);
  }

  /** The arguments are others now: they are shown anew, and no half-made edit of the old ones is sent. */
  reset() {
    this.shownAt = performance.now();
    keep(this.name, { edit: undefined, panel: undefined });
    this.unpanel();
    this.buildBody();
    this.tell("The arguments changed while you were looking. These are the new ones; please read them again.");
  }

  // -- the end ------------------------------------------------------------------------------------------------------

  close() {
    const typed = this.panel?.draft();
    this.isLate ||= Boolean(typed) && draft(this.name).panel !== undefined;
    const hadFocus = this.foot.contains(document.activeElement) || this.slot.contains(document.activeElement);
    this.element.classList.add("is-over");
    this.body.hidden = false;
    this.buildHead();
    this.tell("");
    fill(this.foot);
    if (typed && this.isLate) this.freeze();
    else fill(this.slot);
    this.panel = null;
    fill(this.result, ...ending(this.question, { isLate: this.isLate }));
    if (hadFocus) this.element.focus({ preventScroll: true });
  }

  /** What was typed and can be sent no more stays to be read and copied. */
  freeze() {
    for (const each of this.slot.querySelectorAll("button")) each.remove();
    for (const each of this.slot.querySelectorAll("input, textarea")) each.readOnly = true;
    for (const each of this.slot.querySelectorAll("select, input[type=radio], input[type=checkbox]"))
      each.disabled = true;
    this.slot.prepend(h("p", { class: "muted", text: "You had not sent this:" }));
  }
}

/** The rules without those that are another one for a while: how long is asked apart. */
function narrowed(options) {
  return options.filter(
    ({ option }) =>
      !option.seconds ||
      !options.some(
        (each) =>
          !each.option.seconds && each.option.scope === option.scope && each.option.argument === option.argument,
      ),
  );
}
