/** The inbox: everything that waits for a person, oldest first, and what became of the rest. */

import { Card } from "./card.js";
import { outcome } from "./answering.js";
import { brief } from "./arguments.js";
import { get } from "./api.js";
import { arrange, h, link, say, soon } from "./dom.js";
import { chatPath, questions } from "./questions.js";
import { ago } from "./times.js";

const STAYS_MS = 45_000; // an answered card, before it is history
const HISTORY = 30;
const MOST_SHOWN = 100; // cards at once

/** The page. */
export class Inbox {
  title = () => (questions.pending().length ? `(${questions.pending().length}) Inbox` : "Inbox");

  constructor() {
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    this.gone = new Set();
    this.filter = "";
    this.wanted = new URLSearchParams(location.search).get("interrupt"); // as notifications link to one
    this.field = h("input", {
      type: "search",
      placeholder: "Filter",
      "aria-label": "Filter the questions",
      testid: "filter",
      data: { filter: "" },
      on: { input: () => ((this.filter = this.field.value.toLowerCase()), this.render()) },
    });
    this.list = h("div", { class: "cards", "aria-label": "Questions that wait", role: "region" });
    this.empty = h("p", { class: "empty", testid: "inbox-empty" });
    this.rest = h("p", { class: "empty" });
    this.trouble = h("p", { class: "problem", role: "alert" });
    this.past = h("ul", { class: "history", testid: "history" });
    this.count = h("span", { class: "muted" });
    const history = h("section", { class: "past", "aria-label": "Answered" }, h("h2", { text: "Answered" }), this.past);
    this.element = h(
      "div",
      { class: "page" },
      h("div", { class: "head" }, h("h1", { text: "Inbox" }), this.count, this.field),
      this.trouble,
      this.list,
      this.rest,
      this.empty,
      history,
    );
    this.seen = new IntersectionObserver(
      (entries) => entries.forEach((each) => each.isIntersecting && each.target.card.brief()),
      { rootMargin: "200px" },
    );
    this.draw = soon(() => this.render());
    this.change = ({ detail }) => this.take(detail);
    this.ready = () => this.render();
  }

  open() {
    questions.addEventListener("change", this.change);
    questions.addEventListener("ready", this.ready);
    this.render();
    return Promise.all([this.remember(), this.bring()]);
  }

  /** Brings the question that the address names to the front; one that waits no more is shown with its answer. */
  async bring() {
    if (!this.wanted) return;
    try {
      const question = await questions.fetch(this.wanted);
      if (!this.cards.has(question.id)) this.add(question);
      this.render();
      const { element } = this.cards.get(question.id);
      element.focus({ preventScroll: true });
      element.scrollIntoView({ block: "start" });
    } catch (error) {
      say(this.trouble, error.status === 404 ? "There is no such question (any more)." : error.message);
    }
  }

  close() {
    questions.removeEventListener("change", this.change);
    questions.removeEventListener("ready", this.ready);
    this.seen.disconnect();
  }

  take({ question, was }) {
    this.cards.get(question.id)?.update(question);
    if (was?.status === "pending" && question.status !== "pending") setTimeout(() => this.fade(question.id), STAYS_MS);
    this.draw();
  }

  /** Makes a card history, unless somebody is at it. */
  fade(id) {
    const card = this.cards.get(id);
    if (!card) return;
    if (card.element.contains(document.activeElement) || card.element.matches(":hover"))
      return setTimeout(() => this.fade(id), STAYS_MS / 5);
    card.element.classList.add("is-leaving");
    setTimeout(() => {
      this.cards.delete(id);
      this.gone.add(id);
      this.render();
    }, 400);
  }

  render() {
    const pending = questions.pending();
    for (const each of pending) if (!this.cards.has(each.id)) this.add(each);
    const shown = [...this.cards.values()].filter((each) => this.matches(each)).sort(byAge);
    arrange(
      this.list,
      shown.slice(0, MOST_SHOWN).map((each) => each.element),
    );
    say(
      this.rest,
      shown.length > MOST_SHOWN
        ? `${shown.length - MOST_SHOWN} more come up as these are answered; the filter finds them too.`
        : "",
    );
    const isNothing = questions.isReady && shown.length === 0;
    say(
      this.empty,
      isNothing
        ? this.filter && pending.length
          ? "Nothing that waits fits the filter."
          : "Nothing waits for you. New questions appear here by themselves."
        : questions.isReady
          ? ""
          : "Loading\u2026",
    );
    say(this.count, pending.length ? `${pending.length} waiting` : "");
    this.renderPast();
  }

  add(question) {
    const card = new Card(question);
    this.cards.set(question.id, card);
    this.seen.observe(card.element);
  }

  matches({ question }) {
    if (!this.filter) return true;
    const { meta, chat_id: chatId, context, approvers } = question;
    return [
      meta.tool_name,
      meta.message,
      meta.question,
      JSON.stringify(meta.arguments ?? ""),
      chatId,
      context?.agent_name,
      ...(approvers ?? []),
    ]
      .join(" ")
      .toLowerCase()
      .includes(this.filter);
  }

  /** The newest answers from before this page was opened. */
  async remember() {
    try {
      const page = await get("/interrupts", { query: { status: "all", limit: 100, order: "newest" } });
      for (const each of page.items) if (each.status !== "pending") questions.put(each);
      this.render();
    } catch (error) {
      console.info("history", error.message);
    }
  }

  renderPast() {
    const over = [...questions.known.values()].filter((each) => each.status !== "pending" && !this.cards.has(each.id));
    const newest = over
      .sort((one, other) => ((one.resolved_at ?? one.updated_at) < (other.resolved_at ?? other.updated_at) ? 1 : -1))
      .slice(0, HISTORY);
    this.lines ??= new Map();
    const line = (each) => this.lines.get(each.id) ?? this.lines.set(each.id, past(each)).get(each.id);
    arrange(this.past, newest.map(line));
    this.past.parentElement.hidden = newest.length === 0;
  }
}

function past(question) {
  const { meta, resolved_at: at, note, edited_from: before, resolved_data: data } = question;
  const given = before && data ? data : meta.arguments;
  return h(
    "li",
    { testid: "history-row", data: { id: question.id } },
    link(chatPath(question), String(meta.tool_name ?? "Question"), { class: "tool" }),
    h(
      "span",
      { class: "args" },
      ...(given ? brief(given) : brief(String(meta.question ?? meta.message ?? ""))),
    ),
    h("span", { class: "done", text: outcome(question) + (note ? ` \u201c${note}\u201d` : "") }),
    at ? ago(h("time", { class: "muted" }), at) : null,
  );
}

function byAge(one, other) {
  return one.question.created_at < other.question.created_at
    ? -1
    : one.question.created_at > other.question.created_at
      ? 1
      : 0;
}
